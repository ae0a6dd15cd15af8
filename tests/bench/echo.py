"""The RPC runtime with no store behind it, beside gRPC C++ in the form that suits it best."""
import pathlib
import re
import subprocess

from measure import BUILD, CASES, SECONDS, WARM_SECONDS, Server, best, figure, in_turn, load, say

CASES |= {f'echo_{transport}_{case}': (unit, target) for transport in ('tcp', 'ipc') for case, unit, target in (
    ('1_p50', 'µs', 1), ('16', 'calls/s', 2), ('128', 'calls/s', 7), ('1000', 'calls/s', 15))}
CASES |= {'echo_p99_128': ('µs', 1), 'echo_ipc_p99_128': ('µs', 1), 'echo_cpu': ('µs/call', 1 / 3),
          'start_rss': ('KiB', 1 / 3), 'load_rss': ('KiB', 1 / 3), 'libs': ('libraries', 1 / 5), 'libs_size': ('KiB', 1 / 5),
          'idle_rss': ('KiB', 1 / 3), 'idle_streams_rss': ('KiB', 1 / 3),
          'stream_1': ('items/s', 3), 'stream_64': ('items/s', 3)}

OURS = BUILD / 'tests/bench'
PEER = BUILD / 'tests/bench/peer'


class Pair:
    """Our server and both of gRPC's, on one transport."""

    def __init__(self, transport, folder):
        tcp = transport == 'tcp'
        self.ours = Server(BUILD / 'tests/echo/echo_server', 'tcp://127.0.0.1:0' if tcp else f'ipc://{folder}/echo.sock')
        self.peers = {form: Server(PEER / 'grpc_server', form, '127.0.0.1:0' if tcp else f'unix:{folder}/{form}.sock')
                      for form in ('callback', 'queue')}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self.ours, *self.peers.values()):
            server.__exit__()

    def run(self, server, *argv):
        """A load generator's figures; CPU seconds are those of both processes."""
        before = server.cpu_s()
        got = load(*argv)
        return {**got, 'cpu': got['cpu'] + server.cpu_s() - before}

    def run_ours(self, form, n):
        return self.run(self.ours, OURS / 'echo_load', self.ours.address, SECONDS, form, n)

    def run_peer(self, server_form, form, n, channels):
        server = self.peers[server_form]
        return self.run(server, PEER / 'echo_load', server.address, SECONDS, form, n, channels)

    def stream_ours(self, form, n):
        return self.run(self.ours, OURS / 'stream_load', self.ours.address, SECONDS, form, n)

    def stream_peer(self, server_form, form, n, channels):
        server = self.peers[server_form]
        return self.run(server, PEER / 'stream_load', server.address, SECONDS, form, n, channels)

    def best_stream(self, what, n):
        ours = best(f'{what}: ours', [(form, n) for form in ('callbacks', 'threads')], self.stream_ours, 'rate')
        peer = best(f'{what}: gRPC', [(server, form, n, channels) for server in self.peers
                                      for form in ('queues', 'callbacks', 'threads')
                                      for channels in (1, 4) if channels <= n], self.stream_peer, 'rate')
        return (lambda: self.stream_ours(*ours)), (lambda: self.stream_peer(*peer))

    def best(self, what, n, key):
        """Both sides' runs, each in its best form."""
        blocking = ['threads'] if n == 1 else []
        ours = best(f'{what}: ours', [(form, n) for form in ('calls', *blocking)], self.run_ours, key)
        peer = best(f'{what}: gRPC', [(server, form, n, channels) for server in self.peers
                                      for form in ('queues', 'callbacks', *blocking)
                                      for channels in (1, 4) if channels <= n], self.run_peer, key)
        return (lambda: self.run_ours(*ours)), (lambda: self.run_peer(*peer)), peer


def values(runs, key):
    return [run[key] for run in runs]


def echo(folder):
    for transport in ('tcp', 'ipc'):
        with Pair(transport, folder) as pair:
            for n in (1, 16, 128, 1000):
                name, key = (f'echo_{transport}_1_p50', 'p50') if n == 1 else (f'echo_{transport}_{n}', 'rate')
                run_ours, run_peer, form = pair.best(name, n, key)
                ours, peer = in_turn(run_ours, run_peer)
                figure(name, values(ours, key), values(peer, key))
                if n == 128:
                    figure('echo_p99_128' if transport == 'tcp' else 'echo_ipc_p99_128', values(ours, 'p99'), values(peer, 'p99'))
                    best_form, peak = form, max(values(peer, 'rate'))
            if transport == 'tcp':
                echo_cpu(pair, best_form, peak / 2)


def echo_cpu(pair, peer_form, rate):
    """CPU of both processes for a call, at the same rate: half of the peer's peak."""
    say(f'echo_cpu: {rate:.0f} calls/s')
    server, _, _, channels = peer_form
    ours, peer = in_turn(lambda: pair.run_ours('rate', round(rate)),
                         lambda: pair.run_peer(server, 'rate', round(rate), channels))
    calls = rate * (SECONDS + WARM_SECONDS)
    figure('echo_cpu', [run['cpu'] / calls * 1e6 for run in ours], [run['cpu'] / calls * 1e6 for run in peer])


def stream(folder):
    with Pair('tcp', folder) as pair:
        for n in (1, 64):
            ours, peer = in_turn(*pair.best_stream(f'stream_{n}', n))
            figure(f'stream_{n}', values(ours, 'rate'), values(peer, 'rate'))


def libraries(program):
    """The shared libraries a program pulls in, and their sizes."""
    out = subprocess.run(['ldd', program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [pathlib.Path(path).stat().st_size for path in re.findall(r'(/\S+) \(0x', out)]


def idle(folder):
    """Memory: at start, after load, with ten thousand connections, with ten thousand streams of one."""
    ours, peer = libraries(OURS / 'echo_load'), libraries(PEER / 'echo_load')
    figure('libs', [len(ours)], [len(peer)])
    figure('libs_size', [sum(ours) / 1024], [sum(peer) / 1024])
    with Pair('tcp', folder) as pair:
        forms = sorted(pair.peers, key=lambda form: pair.peers[form].rss_kib())
        figure('start_rss', [pair.ours.rss_kib()], [pair.peers[forms[0]].rss_kib()])
        pair.run_ours('calls', 1000)
        for form in forms:
            pair.run_peer(form, 'queues', 1000, 4)
        figure('load_rss', [pair.ours.rss_kib()], [min(server.rss_kib() for server in pair.peers.values())])
    with Pair('tcp', folder) as pair:
        hold('idle_rss', pair, ('connections', 10000))
    with Pair('tcp', folder) as pair:
        hold('idle_streams_rss', pair, ('streams', 10000))


def hold(name, pair, what):
    """Memory of servers while their clients hold many of something and do nothing with it."""
    rss = {}
    for form, server in (('ours', pair.ours), *pair.peers.items()):
        before = server.rss_kib()
        with Server((OURS if form == 'ours' else PEER) / 'idle_load', server.address, *what) as client:
            rss[form] = server.rss_kib()
            side = 'ours' if form == 'ours' else f'gRPC {form}'
            say(f'{name}: {side}: {(rss[form] - before) / what[1]:.1f} KiB each; the client has {client.rss_kib()} KiB')
    ours = rss.pop('ours')
    figure(name, [ours], [min(rss.values())])


GROUPS = {'echo': echo, 'stream': stream, 'idle': idle}
