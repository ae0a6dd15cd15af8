"""What the benchmarks are made of: programs that serve, programs that load them, figures."""
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys

BUILD = pathlib.Path(os.environ.get('BENCH_BUILD', 'build-bench')).resolve()
RUNS = int(os.environ.get('BENCH_RUNS', 5))
SECONDS = float(os.environ.get('BENCH_SECONDS', 3))
QUICK = RUNS == 1
WARM_SECONDS = 0.5  # as in load.c
WITH_US = ('setpriv', '--pdeathsig', 'TERM')  # nothing outlives the run, however it ends

CASES = {}  # name: (unit, target of the ratio); UNIT/s is better high, everything else better low


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(value):
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def aim(name):
    unit, target = CASES[name]
    return f'{"higher" if unit.endswith("/s") else "lower"} is better' + (f', target {number(target)}' if target else '')


def figure(name, ours, peer):
    """A line of output: the medians of `ours` and `peer`, lists of as many runs."""
    ours, peer = statistics.median(ours), statistics.median(peer)
    ratio = ours / peer if peer else float('inf')
    print(f'{name} ratio={ratio:.2f} (ours={number(ours)} peer={number(peer)} {CASES[name][0]}; {aim(name)})', flush=True)


def fact(name, value, unit):
    """A figure without a peer."""
    print(f'{name} {number(value)} {unit}', flush=True)


def in_turn(ours, peer):
    """Runs of ours and of the peer's in turn, so that what disturbs the machine disturbs both."""
    ran = [(ours(), peer()) for _ in range(RUNS)]
    return [run[0] for run in ran], [run[1] for run in ran]


def best(what, forms, run, key):
    """The form whose run is best: by the highest rate, or the lowest of anything else."""
    if len(forms) > 1:
        forms = sorted(forms, key=lambda form: run(*form)[key], reverse=key == 'rate')
    say(f'{what}: best as {" ".join(map(str, forms[0]))}')
    return forms[0]


def command(argv):
    return [*WITH_US, *map(str, argv)]


class Server:
    """A program that prints "ready ..." when it serves, perhaps after other lines (`said`), and ends at SIGTERM."""

    def __init__(self, *argv):
        self.process = subprocess.Popen(command(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said, self.words = '', []
        for line in self.process.stdout:
            self.words = line.split()
            if self.words[:1] == ['ready']:
                break
            self.said += line
        else:
            sys.exit(f'{argv[0]} did not start')
        self.address = self.words[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def rss_kib(self):
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', status)[1])

    def cpu_s(self):
        return cpu_s(self.process.pid)


def cpu_s(pid, ended_children=False):
    """User and system time of a process."""
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return sum(map(int, fields[11:15 if ended_children else 13])) / os.sysconf('SC_CLK_TCK')


def run(*argv):
    """What a program prints, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command(argv), stdout=subprocess.PIPE, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures(text):
    """What a load generator prints, as numbers."""
    return {key: float(value) for key, value in re.findall(r'(\w+)=([\d.]+)', text)}


def load(*argv):
    """The same of a run, and "cpu"."""
    out, cpu = run(*argv)
    got = figures(out)
    if got.get('failed'):
        say(f'{got["failed"]:.0f} calls failed')
    return got | {'cpu': cpu}
