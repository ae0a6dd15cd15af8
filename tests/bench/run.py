#!/usr/bin/env python3
"""Runs the benchmarks: ours and a peer in turn, in one run, on one machine.

    run.py BUILD [GROUP...]

A line a figure, each the median of BENCH_RUNS (5) runs of BENCH_SECONDS (3):

    CASE ratio=… (ours=… peer=… UNIT)

ratio is ours / peer.  A UNIT that ends in "/s" is better high, every other is better low.
"""
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

RUNS = int(os.environ.get('BENCH_RUNS', 5))
SECONDS = os.environ.get('BENCH_SECONDS', '3')


def say(text):
    print(text, file=sys.stderr, flush=True)


def figure(case, ours, peer, unit):
    ours, peer = statistics.median(ours), statistics.median(peer)
    print(f'{case} ratio={ours / peer:.2f} (ours={ours:.4g} peer={peer:.4g} {unit})', flush=True)


def fact(case, value, unit):
    print(f'{case} {value:.4g} {unit}', flush=True)


class Server:
    """A program that prints "ready …" when it serves, and ends at SIGTERM."""

    def __init__(self, *argv):
        self.process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, text=True)
        self.words = self.process.stdout.readline().split()
        if self.words[:1] != ['ready']:
            sys.exit(f'{argv[0]} did not start')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def rss_kib(self):
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', status)[1])

    def cpu_s(self):
        fields = pathlib.Path(f'/proc/{self.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def load(*argv):
    """What a load generator prints, as numbers, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = dict(re.findall(r'(\w+)=(\d+)', out))
    return {'rate': float(out.split()[0]), 'p50': float(found['p50']), 'p99': float(found['p99']),
            'cpu': after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


class Echo:
    """Two servers of ours and two of gRPC's, and the figures of their clients."""

    def __init__(self, build, folder):
        self.build = build
        self.ipc = f'{folder}/echo.sock'
        self.ours = Server(build / 'tests/echo/echo_server', 'tcp://127.0.0.1:0', f'ipc://{self.ipc}')
        peer = build / 'tests/bench/peer/grpc_server'
        self.peers = {f'{mode}-{name}': (Server(peer, mode, address), address)
                      for mode, port in (('callback', 50151), ('queue', 50152))
                      for name, address in (('tcp', f'127.0.0.1:{port}'), ('ipc', f'unix:{folder}/{mode}.sock'))}

    def servers(self):
        return [self.ours] + [server for server, _ in self.peers.values()]

    def run_ours(self, transport, outstanding):
        address = self.ours.words[1] if transport == 'tcp' else self.ours.words[2]
        before = self.ours.cpu_s()
        got = load(self.build / 'tests/bench/echo_load', address, outstanding, SECONDS)
        got['cpu'] += self.ours.cpu_s() - before
        return got

    def run_peer(self, transport, outstanding, mode, channels):
        server, address = self.peers[f'{mode}-{transport}']
        before = server.cpu_s()
        got = load(self.build / 'tests/bench/peer/grpc_load', address, outstanding, SECONDS, channels)
        got['cpu'] += server.cpu_s() - before
        return got

    def best_peer(self, transport, outstanding):
        """gRPC's better server and better number of channels, by one short run each."""
        forms = [(mode, channels) for mode in ('callback', 'queue') for channels in (1, 4) if channels <= outstanding]
        key = 'p50' if outstanding == 1 else 'rate'
        tried = [(self.run_peer(transport, outstanding, *form)[key], form) for form in forms]
        return (min if outstanding == 1 else max)(tried)[1]


def echo(build, folder):
    bench = Echo(build, folder)
    for transport in ('tcp', 'ipc'):
        for outstanding in (1, 16, 128, 1000):
            mode, channels = bench.best_peer(transport, outstanding)
            say(f'echo {transport} {outstanding}: gRPC at its best is {mode}, {channels} channels')
            ours, peer = [], []
            for _ in range(RUNS):
                ours.append(bench.run_ours(transport, outstanding))
                peer.append(bench.run_peer(transport, outstanding, mode, channels))

            def both(case, key, unit):
                figure(f'echo_{transport}_{outstanding}{case}', [o[key] for o in ours], [p[key] for p in peer], unit)
            if outstanding == 1:
                both('_p50', 'p50', 'µs')
            else:
                both('', 'rate', 'calls/s')
            if outstanding == 128:
                both('_p99', 'p99', 'µs')
    for server in bench.servers():
        server.__exit__()


class Messages:
    """A real aside-server on its private PostgreSQL (durable), filled; and pgbench on the same database."""

    CLIENTS = (1, 4, 8, 16, 32, 64)

    def __init__(self, build, folder, pages, threads, rounds):
        self.build, self.pages, self.threads = build, pages, threads
        keys = pathlib.Path(folder) / f'keys-{pages}'
        keys.mkdir()
        self.token = keys / 'token'
        private = keys / 'private'
        for command in (f'openssl ecparam -name prime256v1 -genkey -noout -out {private}',
                        f'openssl ec -in {private} -pubout -out {keys}/bench.pem',
                        f'{build}/client/aside token --key {private} --kid bench --service bench'
                        f' --scope "page.write message.read user.act" > {self.token}'):
            subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
        data = pathlib.Path(folder) / f'data-{pages}'
        self.server = Server(build / 'server/aside-server', '--data', data, '--keys', keys,
                             '--listen', 'tcp://127.0.0.1:0', '--log-level', 'warning')
        self.address = self.server.words[1]
        self.socket = data / 'socket'
        for _ in range(rounds):
            self.run_ours('fill', 256)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def run_ours(self, what, outstanding):
        return load(self.build / 'tests/bench/message_load', what, self.address, self.token, self.pages, self.threads,
                    outstanding, SECONDS)

    def sql(self, query):
        return float(subprocess.run(['psql', '-qAt', '-h', self.socket, '-U', 'aside', 'postgres', '-c', query],
                                    stdout=subprocess.PIPE, text=True, check=True).stdout)

    def run_pgbench(self, script, clients):
        """Transactions a second and the mean latency in µs."""
        out = subprocess.run(
            ['pgbench', '-n', '-M', 'prepared', '-f', pathlib.Path(__file__).parent / 'peer' / script,
             '-D', f'pages={self.pages}', '-D', f'threads={self.threads}', '-c', str(clients), '-j', str(min(clients, 2)),
             '-T', str(max(1, round(float(SECONDS)))), '-h', self.socket, '-U', 'aside', 'postgres'],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        return {'rate': float(re.search(r'tps = ([\d.]+)', out)[1]),
                'p50': float(re.search(r'latency average = ([\d.]+)', out)[1]) * 1000}

    def best_clients(self, script):
        best = max(self.CLIENTS, key=lambda clients: self.run_pgbench(script, clients)['rate'])
        say(f'{script}: pgbench is at its best with {best} clients')
        return best

    def compare(self, case, what, script, outstanding, clients=None, key='rate', unit='messages/s'):
        clients = clients or self.best_clients(script)
        ours, peer = [], []
        for _ in range(RUNS):
            ours.append(self.run_ours(what, outstanding)[key])
            peer.append(self.run_pgbench(script, clients)[key])
        figure(case, ours, peer, unit)


def send(build, folder):
    say('filling 200,000 threads of 1,000 pages')
    with Messages(build, folder, 1000, 200, 1) as bench:
        bench.compare('send_spread', 'send', 'send.sql', 256)
        wal, sent = bench.sql('SELECT wal_bytes FROM pg_stat_wal'), bench.sql('SELECT sum(last_event) FROM page')
        bench.run_ours('send', 256)
        fact('send_wal', (bench.sql('SELECT wal_bytes FROM pg_stat_wal') - wal) /
             (bench.sql('SELECT sum(last_event) FROM page') - sent), 'bytes/message')
        bench.compare('send_p50', 'send', 'send.sql', 1, clients=1, key='p50', unit='µs; of pgbench the mean')


def hot(build, folder):
    with Messages(build, folder, 1, 200, 1) as bench:
        bench.compare('send_hot', 'send', 'send.sql', 256)


def read(build, folder):
    say('filling 2,000 threads with 20 messages each')
    with Messages(build, folder, 100, 20, 20) as bench:
        bench.compare('read_newest', 'read', 'read.sql', 256, unit='reads/s')


GROUPS = {'echo': echo, 'send': send, 'hot': hot, 'read': read}


def main(build, *groups):
    for group in groups or GROUPS:
        if group not in GROUPS:
            sys.exit(f'no group {group}: {", ".join(GROUPS)}')
    with tempfile.TemporaryDirectory(prefix='aside-bench-') as folder:
        os.chmod(folder, 0o755)
        for group in groups or GROUPS:
            GROUPS[group](pathlib.Path(build), folder)


main(*sys.argv[1:])
