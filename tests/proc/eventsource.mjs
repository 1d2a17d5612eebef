// npm's EventSource on the URLs given, with the cookie of --cookie=NAME=VALUE, as a browser has it; prints a JSON line for each thing that happens. A line on standard input "close N" closes
// the N-th.
import { createInterface } from 'node:readline';
import { EventSource } from 'eventsource';

const say = (x) => process.stdout.write(JSON.stringify(x) + '\n');
const cookie = process.argv.find((a) => a.startsWith('--cookie='))?.slice('--cookie='.length);
const how = cookie ? { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Cookie: cookie } }) } : undefined;
const sources = process.argv.slice(2).filter((a) => !a.startsWith('--')).map((url, n) => {
  const stream = new EventSource(url, how);
  stream.onopen = () => say({ n, open: true });
  stream.onmessage = (event) => {
    const data = JSON.parse(event.data);
    say({ n, id: event.lastEventId, type: data.type, payload: data.payload, event: event.type });
  };
  stream.onerror = (err) => say({ n, error: String(err.message ?? err.type), code: err.code ?? null, state: stream.readyState });
  return stream;
});
createInterface({ input: process.stdin })
  .on('line', (line) => sources[Number(line.split(' ')[1])].close())
  .on('close', () => process.exit(0));
