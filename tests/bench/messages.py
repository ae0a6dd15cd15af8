"""A real aside-server on its private, durable PostgreSQL, beside pgbench on the same cluster."""
import os
import pathlib
import re
import statistics
import subprocess
import time

from measure import BUILD, CASES, QUICK, RUNS, SECONDS, Server, best, cpu_s, fact, figure, figures, in_turn, load, run, say

CASES |= {'send_spread': ('messages/s', 4), 'send_p50': ('µs', 1.4), 'send_hot': ('messages/s', 10), 'read_newest': ('reads/s', 1.5),
          'grow_send': ('µs', 1.2), 'grow_read': ('µs', 1.2),
          'grow_inbox': ('µs', 1.2), 'overload': ('messages/s', 0.9), 'overload_p99': ('µs', 1), 'overload_rss': ('KiB', None)}
# What a message costs, and where; of the peer the server has no part.
CASES |= {'send_wal': ('bytes', None), 'send_flushes': ('flushes', None), 'send_cpu': ('µs', None), 'send_cpu_client': ('µs', None),
          'send_cpu_server': ('µs', None), 'send_cpu_postgres': ('µs', None)}

HERE = pathlib.Path(__file__).parent
OURS = BUILD / 'tests/bench'
UNDER_WAY = 256
WATCHERS = 10000
LANES, LANES_DEFAULT = (1, 2, 3, 4), 2
CASES |= {f'lanes_{what}_{n}': (unit, None) for what, unit in (('send', 'messages/s'), ('read', 'reads/s')) for n in LANES}
STATISTICS_SECONDS = 10.5  # PostgreSQL's connections tell theirs when they have been idle for 10


class Messages:
    """The server, and its database filled with `threads` threads of `messages` messages on each of `pages`."""

    def __init__(self, folder, pages, threads, messages):
        self.folder = pathlib.Path(folder) / f'{len(os.listdir(folder))}-{pages}-{threads}-{messages}'
        self.threads = threads
        self.pages = (1, pages)
        keys = self.folder / 'keys'
        keys.mkdir(parents=True)
        self.token = self.folder / 'token'
        self.make_token(keys)
        self.serve()
        self.postgres = int((self.folder / 'data/postgres/postmaster.pid').read_text().split()[0])
        for setting in ('fsync', 'synchronous_commit', 'full_page_writes'):
            assert self.psql(f'SHOW {setting}') == 'on', setting
        self.fill(self.pages, threads, messages)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def serve(self, *flags):
        self.server = Server(BUILD / 'server/aside-server', '--data', self.folder / 'data', '--keys', self.folder / 'keys',
                             '--listen', 'tcp://127.0.0.1:0', '--log-level', 'warning', *flags)

    def make_token(self, keys):
        private = self.folder / 'private'
        for line in (f'openssl ecparam -name prime256v1 -genkey -noout -out {private}',
                     f'openssl ec -in {private} -pubout -out {keys}/bench.pem',
                     f'{BUILD}/client/aside token --key {private} --kid bench --service bench'
                     f' --scope "message.read user.act" > {self.token}'):
            subprocess.run(line, shell=True, check=True, stderr=subprocess.DEVNULL)

    def connection(self):
        return ['-h', self.folder / 'data/socket', '-U', 'aside']

    def psql(self, sql, *argv):
        return subprocess.run(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', *self.connection(), *argv, 'postgres'], input=sql,
                              stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def fill(self, pages, threads, messages):
        say(f'filling {(pages[1] - pages[0] + 1) * threads * messages:,} messages')
        variables = {'first': pages[0], 'last': pages[1], 'threads': threads, 'messages': messages}
        self.psql((HERE / 'fill.sql').read_text(), *(f'-v{key}={value}' for key, value in variables.items()))

    def run_ours(self, what, form, n, pages=None):
        first, last = pages or self.pages
        return load(OURS / 'message_load', self.server.address, self.token, what,
                    f'{first}-{last}', self.threads, SECONDS, form, n)

    def run_pgbench(self, script, clients):
        """Transactions a second, and the median latency where there is one client."""
        log = self.folder / 'pgbench'
        out, cpu = run('pgbench', '-n', '-M', 'prepared', '-f', HERE / 'peer' / script, '-D', f'pages={self.pages[1]}',
                       '-D', f'threads={self.threads}', '-c', clients, '-j', min(clients, 2), '-T', max(1, round(SECONDS)),
                       *(('-l', f'--log-prefix={log}') if clients == 1 else ()), *self.connection(), 'postgres')
        times = [int(line.split()[2]) for path in self.folder.glob('pgbench.*') for line in path.read_text().splitlines()]
        for path in self.folder.glob('pgbench.*'):
            path.unlink()
        return {'rate': float(re.search(r'tps = ([\d.]+)', out)[1]), 'p50': statistics.median(times) if times else None,
                'cpu': cpu}

    def best_clients(self, name, script):
        forms = [(script, clients) for clients in (1, 2, 4, 8, 16, 32, 64)]
        return best(f'{name}: pgbench', forms, self.run_pgbench, 'rate')

    def compare(self, name, what, script):
        peer = self.best_clients(name, script)
        ours, theirs = in_turn(lambda: self.run_ours(what, 'calls', UNDER_WAY), lambda: self.run_pgbench(*peer))
        figure(name, [run['rate'] for run in ours], [run['rate'] for run in theirs])
        return peer

    def spent(self):
        """What the work so far has come to."""
        messages, wal = self.psql("SELECT sum(last_event), pg_current_wal_insert_lsn() - '0/0' FROM page").split('|')
        backends = pathlib.Path(f'/proc/{self.postgres}/task/{self.postgres}/children').read_text().split()
        return {'messages': float(messages), 'wal': float(wal), 'cpu_server': self.server.cpu_s() * 1e6,
                'cpu_postgres': (cpu_s(self.postgres, True) + sum(map(cpu_s, backends))) * 1e6,
                'flushes': float(self.psql('SELECT wal_sync FROM pg_stat_wal'))}

    def cost(self, run_load):
        """What a message costs."""
        time.sleep(STATISTICS_SECONDS)
        before = self.spent()
        client = run_load()
        time.sleep(STATISTICS_SECONDS)
        after = self.spent()
        messages = after.pop('messages') - before['messages']
        each = {key: (after[key] - before[key]) / messages for key in after}
        each['cpu_client'] = client['cpu'] * 1e6 / messages
        return each | {'cpu': sum(each[key] for key in each if key.startswith('cpu_'))}

    def compare_costs(self, name, ours, peer):
        ours, peer = self.cost(ours), self.cost(peer)
        for key in ours:
            figure(f'{name}_{key}', [ours[key]], [peer[key]])


def send(folder):
    with Messages(folder, 1000, 200, 1) as bench:
        peer = bench.compare('send_spread', 'send', 'send.sql')
        bench.compare_costs('send', lambda: bench.run_ours('send', 'calls', UNDER_WAY), lambda: bench.run_pgbench(*peer))
        form = best('send_p50: ours', [('send', 'calls', 1), ('send', 'threads', 1)], bench.run_ours, 'p50')
        ours, peer = in_turn(lambda: bench.run_ours(*form), lambda: bench.run_pgbench('send.sql', 1))
        figure('send_p50', [run['p50'] for run in ours], [run['p50'] for run in peer])


def lanes(folder):
    """How many connections are best; the default is the peer."""
    with Messages(folder, 1000, 200, 1) as bench:
        for what, flag in (('send', '--write-lanes'), ('read', '--read-lanes')):
            rates = {n: [] for n in LANES}
            for _ in range(RUNS):
                for n in LANES:
                    bench.server.__exit__()
                    bench.serve(flag, n)
                    rates[n].append(bench.run_ours(what, 'calls', UNDER_WAY)['rate'])
            for n in LANES:
                figure(f'lanes_{what}_{n}', rates[n], rates[LANES_DEFAULT])


def hot(folder):
    with Messages(folder, 1, 200, 1) as bench:
        bench.compare('send_hot', 'send', 'send.sql')


def read(folder):
    with Messages(folder, 100, 200, 25) as bench:
        bench.compare('read_newest', 'read', 'read.sql')


def watch(folder):
    """10,000 watchers and 1,000 messages a second: how late a message is, and what a watcher costs the server."""
    with Messages(folder, 1000, 200, 1) as bench:
        idle = bench.server.rss_kib()
        with Server(BUILD / 'tests/bench/watch_load', bench.server.address, bench.token, 1000, 200, WATCHERS, 100, 1000,
                    SECONDS) as watchers:
            got = figures(watchers.said)
            for name, unit in (('rate', 'deliveries/s'), ('p50', 'µs'), ('p99', 'µs')):
                fact(f'watch_{name}', got[name], unit)
            fact('watch_rss', bench.server.rss_kib(), 'KiB')
            fact('watch_rss_each', (bench.server.rss_kib() - idle) / WATCHERS, 'KiB')



def grow(folder):
    """A call's cost among ten million messages and beside ten thousand; the last page has many threads, then a million."""
    messages, threads = (5, 100000) if QUICK else (45, 1000000)
    with Messages(folder, 1000, 9, 1) as small, Messages(folder, 1000, 200, messages) as big:
        small.fill((1001, 1001), 1000, 1)
        big.fill((1001, 1001), threads, 1)

        for what, pages in (('send', None), ('read', None), ('inbox', (1001, 1001))):
            def cost(bench):
                return 1e6 / bench.run_ours(what, 'calls', UNDER_WAY, pages)['rate']
            figure(f'grow_{what}', *in_turn(lambda: cost(big), lambda: cost(small)))


def overload(folder):
    """Ten times as many messages offered as the server can take: it and PostgreSQL on one processor, those who call on
    another, so that what is measured is the server and not who of them gets to run."""
    os.sched_setaffinity(0, {0})
    with Messages(folder, 1000, 200, 1) as bench:
        os.sched_setaffinity(0, {1})
        peak, good = [], []
        before = bench.server.rss_kib()
        for _ in range(RUNS):
            peak.append(bench.run_ours('send', 'calls', UNDER_WAY))
            good.append(bench.run_ours('send', 'rate', round(10 * peak[-1]['rate'])))
        figure('overload', [run['rate'] for run in good], [run['rate'] for run in peak])
        figure('overload_p99', [run['p99'] for run in good], [1e6])
        figure('overload_rss', [bench.server.rss_kib()], [before])


GROUPS = {'send': send, 'hot': hot, 'lanes': lanes, 'read': read, 'overload': overload, 'grow': grow, 'watch': watch}
