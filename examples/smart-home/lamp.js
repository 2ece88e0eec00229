/**
 * A lamp for the house, to have something to switch: `node lamp.js [url]`. Prints what it does;
 * Enter presses its button. Connects again when the line breaks. Node 22 or newer (WebSocket).
 */
const url = process.argv[2] ?? 'ws://localhost:8787/home/lamp/connect';
const retryMs = 1000;
let on = false;
let socket;

function connect() {
  socket = new WebSocket(url);
  socket.onopen = () => console.log('connected');
  socket.onmessage = ({ data }) => {
    ({ on } = JSON.parse(data));
    console.log(on ? 'the lamp is on' : 'the lamp is off');
  };
  socket.onclose = () => setTimeout(connect, retryMs);
  socket.onerror = () => console.log('no connection, trying again');
}

process.stdin.on('data', () => {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ on: !on }));
});
connect();
