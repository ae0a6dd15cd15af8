#!/usr/bin/env python3
"""Runs benchmarks: ours and the peer's in turn, in one run, on one machine.  See README.md.

    run.py [--quick] [--list] [GROUP...]
"""
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time

arguments = sys.argv[1:]
if '--quick' in arguments:
    os.environ |= {'BENCH_RUNS': '1', 'BENCH_SECONDS': '0.5'}

import echo  # noqa: E402  (they read the environment)
import fault  # noqa: E402
import measure  # noqa: E402
import messages  # noqa: E402

GROUPS = echo.GROUPS | messages.GROUPS | fault.GROUPS


def fsync_ms(folder):
    with open(pathlib.Path(folder) / 'fsync', 'wb', buffering=0) as file:
        began = time.monotonic()
        for _ in range(50):
            file.write(b'x' * 8192)
            os.fdatasync(file.fileno())
    return (time.monotonic() - began) * 1000 / 50


def header(folder):
    model = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), 'unknown')
    print(f'# {time.strftime("%F %T")}; {os.cpu_count()} x {model}; fdatasync {fsync_ms(folder):.2f} ms; '
          f'load average {os.getloadavg()[0]:.1f}\n'
          f'# ratio = ours / peer, medians of {measure.RUNS} runs of {measure.SECONDS:g} s in turn')


def main():
    if '--list' in arguments:
        for name in measure.CASES:
            print(f'{name:20} {measure.CASES[name][0]:12} {measure.aim(name)}')
        return
    groups = [argument for argument in arguments if argument != '--quick'] or list(GROUPS)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        sys.exit(f'no group {" ".join(unknown)}: there are {" ".join(GROUPS)}')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with tempfile.TemporaryDirectory(prefix='aside-bench-') as folder:
        os.chmod(folder, 0o755)
        header(folder)
        for group in groups:
            GROUPS[group](folder)


main()
