#!/usr/bin/env python3
"""An OpenAI-compatible server for tests, on the loopback address: good answers, and every way of not giving one. Prints
its port. What it does is in the model's name:

  echo      the last words of the last message     label     POS or NEG by the message's length, always the same
  varied    another answer for each seed           score     0.5, or 1 where the message says so ("three")
  n/a       "n/a"            prose    a reply that is no verdict      junk      200 with HTML
  nul       a text with a NUL in it   empty    200 with {}      null     content null                    400 401 500 ... that status
  flaky     500, then a good answer    stall   takes the request, says nothing   drip   a byte now and then, for ever
  huge      more bytes than anybody wants
  key       401 unless the request carries the key SECRET

Each request is a line of JSON in the file given as argument."""
import http.server, json, socketserver, sys, threading, time

LOG, LOCK, SEEN = sys.argv[1], threading.Lock(), set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass

    def send(self, status, body, kind='application/json'):
        body = body.encode()
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def say(self, text, reason='stop'):
        self.send(200, json.dumps({'choices': [{'message': {'role': 'assistant', 'content': text}, 'finish_reason': reason}]}))

    def do_POST(self):
        try: self.answer()
        except (BrokenPipeError, ConnectionResetError): pass

    def answer(self):
        q = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        model, text = q['model'], q['messages'][-1]['content']
        with LOCK:
            with open(LOG, 'a') as f: f.write(json.dumps({'path': self.path, 'model': model, 'text': text, 'seed': q['seed'], 'temperature': q['temperature']}) + '\n')
            first = (model, text) not in SEEN
            SEEN.add((model, text))
        if model.isdigit(): self.send(int(model), '{}')
        elif model == 'echo': self.say(' '.join(text.split()[-3:]))
        elif model == 'label': self.say('POS' if len(text) % 2 else ' neg.')
        elif model == 'varied': self.say(f'answer {q["seed"] % 1000}')
        elif model == 'score': self.say('1' if 'three' in text else '0.5')
        elif model == 'length': self.say(f'<think>hm</think>{{"score": {len(text) % 7}}}')
        elif model == 'n/a': self.say('N/A')
        elif model == 'prose': self.say('I like it very much')
        elif model == 'junk': self.send(200, '<html>no</html>', 'text/html')
        elif model == 'nul': self.say('a\0b')
        elif model == 'empty': self.send(200, '{}')
        elif model == 'null': self.send(200, json.dumps({'choices': [{'message': {'content': None}, 'finish_reason': 'tool_calls'}]}))
        elif model == 'flaky': self.send(500, '{}') if first else self.say('late')
        elif model == 'key': self.say('open') if self.headers['Authorization'] == 'Bearer SECRET' else self.send(401, '{}')
        elif model == 'stall': time.sleep(3600)
        elif model == 'drip':
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b' ' * 300)
                time.sleep(0.3)
        elif model == 'huge':
            self.send_response(200)
            self.end_headers()
            for _ in range(6): self.wfile.write(b' ' * (1 << 20))
        else: self.send(404, '{}')


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64
    def handle_error(self, *a): pass # clients that give up


server = Server(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
