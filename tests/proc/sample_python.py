# The page's Python sample, as printed but for the address and the key, which come as arguments, and the flush.
import sys
from functools import partial
print = partial(print, flush=True)
import requests
import json
response = requests.get(
    sys.argv[1],
    headers={'x-api-key': sys.argv[2]},
    stream=True
)
for line in response.iter_lines():
    if line:
        decoded = line.decode('utf-8')
        if decoded.startswith('data: '):
            data = json.loads(decoded[6:])
            print(f"Event: {data['type']}", data['payload'])
