"""A hub on loopback that behaves as hubs do on bad days: it cuts, stalls, lies about lengths, has enough (429), redirects, sends
wrong bytes. What it does to a repository is in struct Repo; what was asked of it is in `seen`."""
import hashlib, http.server, json, socket, ssl, sys, threading, time
from urllib.parse import unquote, urlsplit, parse_qs

COMMIT = 'c0ffee' + '0' * 34


def sha256(data): return hashlib.sha256(data).hexdigest()


def git_id(data): return hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()


class Repo:
    """files by path; `large` ones are kept by LFS and sent by the other server. Faults, each a number of times:
    cut (after so many bytes), stall, busy (429), broken (503), and for ever: no_range, slow (bytes a second), cookie, ..."""
    def __init__(self, files, **faults):
        self.files = files
        self.lie_size, self.lie_length, self.lie_total, self.serve = {}, 0, 0, None
        self.cut_after, self.cut, self.stall, self.busy, self.broken, self.no_range, self.slow = 0, 0, 0, 0, 0, False, 0
        self.retry_after, self.status, self.redirect, self.etag, self.token, self.wait_for = '1', 0, None, None, None, None
        self.__dict__.update(faults)
        self.sent = 0 # bytes of files


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *a): pass

    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for k, v in headers.items(): self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def take(self, repo, fault):
        with self.server.hub.lock:
            if getattr(repo, fault) <= 0: return False
            setattr(repo, fault, getattr(repo, fault) - 1)
            return True

    def do_GET(self):
        hub = self.server.hub
        url = urlsplit(self.path)
        path = unquote(url.path)
        with hub.lock: hub.seen.append((self.server.role, self.path, dict(self.headers)))
        try: self.route(hub, path, url, parse_qs(url.query))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError): self.close_connection = True

    def route(self, hub, path, url, query):
        parts = path.strip('/').split('/')
        if path.startswith('/api/models/'): return self.list_hf(hub.repos.get('/'.join(parts[2:4])), query)
        if path.startswith('/api/v1/models/'): return self.list_ms(hub.repos.get('/'.join(parts[3:5])))
        if parts[0] == 'models': parts = parts[1:]
        if len(parts) > 4 and parts[2] == 'resolve':
            return self.resolve(hub, '/'.join(parts[:2]), '/'.join(parts[4:]))
        if parts[0] == 'cdn': return self.send_file(hub.repos['/'.join(parts[1:3])], '/'.join(parts[3:]))
        if parts[0] == 'loop': return self.answer(302, Location=f'/loop/{int(parts[1]) + 1}')
        if parts[0] == 'to': return self.answer(302, Location=query_target(url))
        if parts[0] == 'page': return self.answer(200, b'<html>', Content_Type='text/html')
        self.answer(404)

    def allowed(self, repo):
        if repo is None: self.answer(404); return False
        if repo.status: self.answer(repo.status, b'', X_Error_Message='Access to this repository is gated'); return False
        sent = self.headers.get('Authorization', '') + self.headers.get('Cookie', '')
        if repo.token and repo.token not in sent: self.answer(401); return False
        return True

    def list_hf(self, repo, query):
        if not self.allowed(repo): return
        if self.take(repo, 'broken'): return self.answer(503)
        rows = []
        for name, data in repo.files.items():
            row = {'rfilename': name, 'size': repo.lie_size.get(name, len(data)), 'blobId': git_id(data)}
            if len(data) > 10000: row['lfs'] = {'sha256': sha256(data), 'size': row['size'], 'pointerSize': 134}
            rows.append(row)
        self.answer(200, json.dumps({'sha': COMMIT, 'siblings': rows}).encode(), Content_Type='application/json')

    def list_ms(self, repo):
        if repo is None: return self.answer(200, json.dumps({'Code': 10010205001, 'Message': 'no such model'}).encode())
        if not self.allowed(repo): return
        rows = [{'Name': n.split('/')[-1], 'Path': n, 'Size': len(d), 'Sha256': sha256(d), 'Type': 'blob'} for n, d in repo.files.items()]
        rows.append({'Name': 'd', 'Path': 'd', 'Size': 0, 'Type': 'tree', 'Sha256': ''})
        self.answer(200, json.dumps({'Code': 200, 'Data': {'Files': rows}, 'Message': 'success', 'Success': True}).encode())

    def resolve(self, hub, name, path):
        repo = hub.repos.get(name)
        if not self.allowed(repo): return
        if path not in repo.files: return self.answer(404)
        data = repo.files[path]
        if repo.redirect: return self.answer(302, Location=repo.redirect)
        if len(data) <= 10000: return self.send_file(repo, path)
        self.answer(302, Location=f'{hub.cdn_url}/cdn/{name}/{path}?signature=SECRETSIGNATURE',
                    X_Linked_Etag=f'"{sha256(data)}"', X_Linked_Size=str(len(data)))

    def send_file(self, repo, path):
        if self.take(repo, 'busy'): return self.answer(429, Retry_After=repo.retry_after)
        data = repo.serve if repo.serve is not None else repo.files[path]
        begin, end, status = 0, len(data), 200
        asked = self.headers.get('Range')
        if asked and not repo.no_range:
            a, _, b = asked.removeprefix('bytes=').partition('-')
            begin, end, status = int(a), min(int(b) + 1 if b else len(data), len(data)), 206
            if begin >= len(data): return self.answer(416)
        self.send_response(status)
        if status == 206: self.send_header('Content-Range', f'bytes {begin}-{end - 1}/{len(data) + repo.lie_total}')
        if repo.etag: self.send_header('ETag', f'"{repo.etag}"')
        self.send_header('Content-Length', str(end - begin + repo.lie_length))
        self.end_headers()
        self.send_bytes(repo, data[begin:end])
        if repo.lie_length: self.close_connection = True

    def send_bytes(self, repo, part):
        cut = len(part) > repo.cut_after and self.take(repo, 'cut')
        stall = not cut and len(part) > repo.cut_after and self.take(repo, 'stall')
        if cut or stall: part = part[:repo.cut_after]
        step = 1 << 16
        for at in range(0, len(part), step):
            if repo.wait_for and repo.sent >= repo.wait_for[0]: repo.wait_for[1].wait(30)
            self.wfile.write(part[at:at + step])
            with self.server.hub.lock: repo.sent += len(part[at:at + step])
            if repo.slow: time.sleep(step / repo.slow)
        self.wfile.flush()
        if stall: self.server.hub.never.wait(20)
        if cut or stall:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def query_target(url): return unquote(url.query)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)): super().handle_error(request, client_address)


class Hub:
    """The hub, its CDN on another port, and (with a certificate) the hub over TLS."""
    def __init__(self, cert=None):
        self.repos, self.seen, self.lock, self.never = {}, [], threading.Lock(), threading.Event()
        self.hub = self.serve('hub')
        self.cdn = self.serve('cdn')
        self.url = f'http://127.0.0.1:{self.hub.server_port}'
        self.cdn_url = f'http://localhost:{self.cdn.server_port}'
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            self.tls = self.serve('tls', context)
            self.tls_url = f'https://localhost:{self.tls.server_port}'

    def serve(self, role, context=None):
        server = Server(('127.0.0.1', 0), Handler)
        server.hub, server.role = self, role
        if context: server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def take_seen(self):
        with self.lock: seen, self.seen = self.seen, []
        return seen

    def close(self): self.never.set()
