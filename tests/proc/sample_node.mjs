// The page's Node.js sample, as printed but for the address and the key, which come as arguments.
const [url, key] = process.argv.slice(2);
const response = await fetch(url, {
headers: { 'x-api-key': key }
});
const reader = response.body.getReader();
const decoder = new TextDecoder();
while (true) {
const { done, value } = await reader.read();
if (done) break;
const text = decoder.decode(value);
// SSE format: "data: {...}\n\n"
const lines = text.split('\n');
for (const line of lines) {
if (line.startsWith('data: ')) {
const data = JSON.parse(line.slice(6));
console.log('Event:', data.type, data.payload);
}
}
}
