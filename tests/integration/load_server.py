#!/usr/bin/env python3
"""A server that answers chats as a stream at a fixed pace, for the comparison of the simulation with a server. Prints its
port. A word is counted as one token; `bad` as argument: no usage is sent."""
import http.server, json, sys, threading, time

SEND_USAGE = sys.argv[1:] != ['bad']


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.0'
    def log_message(self, *a): pass

    def head(self, kind):
        self.send_response(200); self.send_header('Content-Type', kind); self.end_headers()

    def do_GET(self):
        self.head('application/json')
        self.wfile.write(json.dumps({'data': [{'id': 'paced'}]}).encode())

    def do_POST(self):
        q = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        assert q['model'] == 'paced' and q['stream'] and q['stream_options']['include_usage']
        self.head('text/event-stream')
        event = lambda o: (self.wfile.write(b'data: ' + json.dumps(o).encode() + b'\n\n'), self.wfile.flush())
        for i in range(q['max_tokens']):
            time.sleep(0.002)
            event({'choices': [{'delta': {'content': f'w{i} '}}]})
        words = len(q['messages'][0]['content'].split())
        if SEND_USAGE: event({'choices': [], 'usage': {'prompt_tokens': words, 'completion_tokens': q['max_tokens']}})
        self.wfile.write(b'data: [DONE]\n\n')


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
