"""A chat endpoint that fails on purpose, for the error cases. The first word of the last message says how."""
import http.server
import json
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *a):
        pass

    def answer(self, status, body, kind='application/json'):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b'{"object":"list","data":[{"id":"m","object":"model"}]}')

    def do_POST(self):
        req = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.server.seen.append((self.path, dict(self.headers), req))
        how = req['messages'][-1]['content'].split()[0]
        if how.isdigit():
            return self.answer(int(how), json.dumps({'error': {'message': 'refused with ' + how}}).encode())
        if how == 'html':
            return self.answer(200, b'<html>not what you wanted</html>', 'text/html')
        if how == 'empty':
            return self.answer(200, b'', 'text/event-stream')
        if how == 'plain':      # an endpoint that does not stream
            return self.answer(200, json.dumps({'choices': [{'message': {'role': 'assistant', 'content': 'plain answer'},
                                                             'finish_reason': 'stop'}]}).encode())
        self.close_connection = True
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Connection', 'close')
        self.end_headers()
        self.piece('first ')
        if how == 'malformed':
            self.wfile.write(b'data: {"choices": [{"delta": \n\n')
        elif how == 'disconnect':
            pass                 # ends without finish_reason and without [DONE]
        elif how == 'stall':
            self.server.stalled.set()
            self.server.stop.wait(60)
        elif how == 'error':
            self.wfile.write(b'data: {"error":{"message":"overloaded halfway"}}\n\n')
        elif how == 'endless':
            try:
                while not self.server.stop.is_set():
                    self.wfile.write(b'data: ' + b'x' * 65536)
            except OSError:
                pass
        else:
            for word in ('second ', 'third'):
                self.piece(word)
            self.wfile.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n')
            self.wfile.write(b'data: [DONE]\n\n')

    def piece(self, text):
        self.wfile.write(b'data: ' + json.dumps({'choices': [{'delta': {'content': text}, 'finish_reason': None}]}).encode() + b'\n\n')
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.seen, self.stop, self.stalled = [], threading.Event(), threading.Event()
        self.url = 'http://127.0.0.1:%d/v1' % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.stop.set()
        self.shutdown()
        self.server_close()
