"""What hostile plugins do: lines of code by name, grouped by what they go against.

The lines stand in a method of a student (`fit`, unless a name says otherwise), or at the top of the module.
"""

from __future__ import annotations

# Moves what other steps in the same process would see.
STATE = {
    "torch-type": "import torch; torch.set_default_dtype(torch.float64)",
    "torch-device": "import torch; torch.set_default_device('meta')",
    "torch-threads": "import torch; torch.set_num_threads(7)",
    "torch-seed": "import torch; torch.manual_seed(123)",
    "torch-gradients": "import torch; torch.set_grad_enabled(False)",
    "torch-inference": "import torch; torch.inference_mode().__enter__()",
    "torch-autocast": "import torch; torch.autocast('cpu', torch.bfloat16).__enter__()",
    "torch-determinism": "import torch; torch.use_deterministic_algorithms(False)",
    "torch-hooks": """
        import torch
        torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: out * 2)""",
    "torch-patch": "import torch; torch.nn.Embedding.forward = lambda self, ids: self.weight[ids] * 3",
    "torch-optimiser": "import torch; torch.optim.AdamW.step = lambda self, closure=None: None",
    "recursion": "import sys; sys.setrecursionlimit(100)",
    "numpy-errors": "np.seterr(all='raise')",
    "numpy-printing": "np.set_printoptions(precision=1)",
    "numpy-seed": "np.random.seed(5)",
    "numpy-patch": "np.sum = lambda *given, **named: 0",
    "numpy-generator": "np.random.default_rng = lambda *given: np.random.Generator(np.random.PCG64(9))",
    "random-seed": "import random; random.seed(5); random.Random.choices = lambda *given, **named: ['x'] * 9",
    "locale": "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8'); os.environ['LC_ALL'] = 'C'",
    "zone": "import time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
    "folder": "os.chdir('/')",
    "folder-gone": "import tempfile; os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
    "environment": "os.environ.clear()",
    "variables": "os.environ.update(OMP_NUM_THREADS='9', HARNESS_STORE='/nowhere', PATH='', LANG='tr_TR')",
    "umask": "os.umask(0o777)",
    "limit-files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))",
    "limit-sizes": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))",
    "limit-memory": "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))",
    "limit-cpu": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
    "nice": "os.nice(5)",
    "collector": "import gc; gc.disable(); gc.freeze()",
    "logging": "import logging; logging.disable(50); logging.root.setLevel(50)",
    "warnings": "import warnings; warnings.simplefilter('error')",
    "signals": """
        import signal
        for each in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(each, signal.SIG_IGN)""",
    "alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 1.5)",
    "blocked": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))",
    "paths": "import sys; sys.path[:0] = ['/nowhere'] * 50; sys.path_importer_cache.clear()",
    "modules": "import sys, types; sys.modules['json'] = types.ModuleType('json'); sys.modules.pop('numpy')",
    "modules-harness": """
        import sys
        for name in [name for name in sys.modules if name.startswith('harness.')]: sys.modules.pop(name)""",
    "finders": "import sys; sys.meta_path.clear()",
    "open": "import builtins; builtins.open = None",
    "print": "import builtins; builtins.print = builtins.len = lambda *given, **named: 3",
    "clock": "import time; time.time = time.perf_counter = time.monotonic = lambda: 0.0",
    "json": "import json; json.dumps = json.loads = lambda *given, **named: {}",
    "pickle": "import pickle; pickle.loads = pickle.dumps = None",
    "trace": "import sys; sys.settrace(lambda *given: None); sys.setprofile(lambda *given: None)",
    "exit-hooks": "import atexit, time; atexit.register(time.sleep, 600)",
    "hook": "import sys, threading; sys.excepthook = threading.excepthook = None",
    "output-closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "output-none": "import sys; sys.stdout = sys.stderr = None",
    "descriptors": "os.closerange(0, 3)",
    "descriptors-all": "os.closerange(3, 256)",
    "decimal": "import decimal; decimal.getcontext().prec = 2",
    "switch": "import sys; sys.setswitchinterval(5)",
    "temporary": "import tempfile; tempfile.tempdir = '/nowhere'",
    "start-method": "import multiprocessing; multiprocessing.set_start_method('fork', force=True)",
    "others": """
        import harness_students.averages as one
        for found in vars(one).values():
            if isinstance(found, type): found.predict = found.width = found.module = None""",
    "witness": "import faultkit; faultkit.Witness.fit = faultkit.Witness.load = None",
    "base-class": "harness.Model.decide = lambda self, texts, logits: logits.argmin(axis=1)",
    "base-student": "harness.Student.exports = True; harness.Student.version = 99",
    "the-store": "import harness.storage.store as one; one.Store.publish = one.Store.find = None",
    "the-metrics": """
        import harness.task_types.classification as one
        one.Classification.score = lambda *given: {}""",
    "text-type": "import harness.api as one; one.SPLITS = ('train',)",
    "subprocess": "import subprocess; subprocess.Popen = None",
    "gone-session": "import os; os.fork() or os._exit(0)",
    "codecs": "import codecs; codecs.register(lambda name: 1 / 0)",
    "bytes-cache": "import sys; sys.dont_write_bytecode = True; sys.pycache_prefix = '/nowhere'",
    "default-encoding": "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')",
    "memory-map": "import mmap; mmap.mmap = None",
    "paths-patch": "import pathlib; pathlib.Path.exists = pathlib.Path.is_file = lambda self, **named: False",
}

_CONNECTIONS = """
        import gc
        from multiprocessing.connection import Connection
        for each in [each for each in gc.get_objects() if isinstance(each, Connection)]"""
# Ends the process, or the step, in every way.
ENDINGS = {
    "raise": "raise ValueError('the plugin broke\\nwith a second line')",
    "raise-nothing": "raise ValueError",
    "raise-codes": "raise ValueError('\\x1b[2J\\x1b[31mred\\x07 \\u202e reversed')",
    "raise-long": "raise ValueError('x' * 10_000_000)",
    "raise-unprintable": """
        class Odd(Exception):
            def __str__(self): raise RuntimeError('no words')
        raise Odd""",
    "raise-not-text": "raise ValueError(object(), b'\\xff', '\\ud800')",
    "raise-group": "raise ExceptionGroup('many', [ValueError(str(i)) for i in range(3)])",
    "raise-group-base": "raise BaseExceptionGroup('many', [KeyboardInterrupt()])",
    "raise-ours": "raise harness.HarnessError('two\\nlines \\x1b[31m and Traceback of mine')",
    "raise-in-chain": """
        try: 1 / 0
        except ZeroDivisionError as error: raise KeyError('gone') from error""",
    "stop-iteration": "raise StopIteration",
    "base-exception": "raise BaseException('all the way')",
    "system-exit": "raise SystemExit(0)",
    "system-exit-text": "raise SystemExit('so long')",
    "keyboard-interrupt": "raise KeyboardInterrupt",
    "generator-exit": "raise GeneratorExit",
    "recursion-error": "f = lambda: f(); f()",
    "memory-error": "raise MemoryError",
    "memory": "np.ones(10**14)",
    "memory-used": "kept = [bytearray(2**28) for _ in range(6)]",
    "os-exit": "os._exit(9)",
    "os-exit-0": "os._exit(0)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "abort": "os.abort()",
    "illegal": "import signal; os.kill(os.getpid(), signal.SIGILL)",
    "kill": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "terminate": "import signal; os.kill(os.getpid(), signal.SIGTERM)",
    "hang-up": "import signal; os.kill(os.getpid(), signal.SIGHUP)",
    "execute": "os.execv('/bin/true', ['true'])",
    "connection": f"""{_CONNECTIONS}: each.close()""",
    "connection-noise": f"""{_CONNECTIONS}: each.send_bytes(b'noise')""",
    "connection-event": f"""{_CONNECTIONS}: each.send({{'event': 'done'}})""",
}

# Does not end, until the limit of the suite.
HANGS = {
    "sleep": "import time; time.sleep(3600)",
    "loop": "while True: pass",
    "stopped": "import signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "deaf": """
        import signal, time
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        time.sleep(3600)""",
    "pipe": "import os; os.read(os.pipe()[0], 1)",
    "regular-expression": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "told": """
        import time
        for part in range(10**9): context.progress(1, 10**9); time.sleep(0.05)""",
}

# Starts what outlives the step.
CHILDREN = {
    "child": "import subprocess; subprocess.Popen(['sleep', '600'])",
    "child-session": "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "child-piped": "import subprocess; subprocess.Popen(['sleep', '600'], stdout=subprocess.PIPE)",
    "daemon": """
        import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)""",
    "fork-and-raise": "if os.fork() == 0: raise ValueError('I am the child')",
    "fork-and-return": "os.fork()",
    "children-many": "import subprocess; [subprocess.Popen(['sleep', '600']) for _ in range(40)]",
    "process": """
        import multiprocessing, time
        multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)).start()""",
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "thread-busy": """
        import threading
        def spin():
            while True: pass
        threading.Thread(target=spin, daemon=True).start()""",
    "thread-raises": "import threading; threading.Thread(target=lambda: 1 / 0).start()",
    "child-and-exit": "import subprocess; subprocess.Popen(['sleep', '600']); os._exit(3)",
    "child-and-hang": "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(3600)",
}

# Says more than it should.
OUTPUT = {
    "flood": "[os.write(1, b'x' * 2**20) for _ in range(60)]",
    "bytes": "os.write(1, bytes(range(256)) * 40); os.write(2, bytes(range(256)) * 40)",
    "codes": "print('\\x1b[2J\\x1b]0;title\\x07')",
    "events": 'print(\'{"event": "end", "ok": 99}\', flush=True)',
    "codes-in-warning": "context.warn('\\x1b[2J\\x1b[31mred\\x07\\nsecond line')",
    "warning-long": "context.warn('x' * 2_000_000)",
    "warning-odd": "context.warn(b'\\xff'); context.warn(None); context.warn('\\ud800')",
    "progress-odd": "context.progress(-5, 0, loss=float('nan'), **{'\\x1b[31m': float('inf')})",
    "progress-many": "for part in range(20_000): context.progress(part, 20_000, loss=1.0)",
    "progress-wrong": "context.progress('many', None, loss='small')",
    "warnings": "import warnings; [warnings.warn(f'{i}') for i in range(2000)]",
}

# Returns, saves or reports what is no model: by method.
VALUES = {
    "fit-none": ("fit", "return None"),
    "fit-text": ("fit", "return 'a model'"),
    "fit-generator": ("fit", "yield 1"),
    "fit-class": ("fit", "return Model"),
    "changes-texts": ("fit", "transfer.texts[:] = ['x'] * len(transfer.texts)"),
    "changes-labels": ("fit", "transfer.labels[:] = 0; validation.labels[:] = 0"),
    "changes-labels-forced": ("fit", "transfer.labels.flags.writeable = True; transfer.labels[:] = 0"),
    "no-scratch": ("fit", "import shutil; shutil.rmtree(context.scratch)"),
    "big-scratch": ("fit", "(context.scratch / 'x').write_bytes(bytes(50_000_000))"),
    "closed-scratch": ("fit", "(context.scratch / 'x').mkdir(); (context.scratch / 'x').chmod(0)"),
    "checkpoints": (
        "fit",
        "context.checkpoints.mkdir(parents=True); (context.checkpoints / 'x.json').write_text('{')",
    ),
    "predict-shape": ("predict", "return np.zeros((len(texts), 1), np.float32)"),
    "predict-rows": ("predict", "return np.zeros((len(texts) + 5, self.classes), np.float32)"),
    "predict-flat": ("predict", "return np.zeros(len(texts), np.float32)"),
    "predict-objects": ("predict", "return np.full((len(texts), self.classes), None)"),
    "predict-words": ("predict", "return np.full((len(texts), self.classes), 'yes')"),
    "predict-integers": ("predict", "return np.zeros((len(texts), self.classes), np.int64)"),
    "predict-complex": ("predict", "return np.zeros((len(texts), self.classes), np.complex64)"),
    "predict-nan": ("predict", "return np.full((len(texts), self.classes), np.nan, np.float32)"),
    "predict-infinite": ("predict", "return np.full((len(texts), self.classes), np.inf, np.float32)"),
    "predict-huge": ("predict", "return np.full((len(texts), self.classes), 1e308)"),
    "predict-none": ("predict", "return None"),
    "predict-list": ("predict", "return [[0.0] * self.classes for _ in texts]"),
    "predict-generator": ("predict", "yield from texts"),
    "predict-raises": ("predict", "raise KeyError(3)"),
    "predict-exits": ("predict", "os._exit(0)"),
    "predict-changes-texts": ("predict", "texts[:] = []; return np.zeros((0, self.classes), np.float32)"),
    "predict-random": ("predict", "return np.random.rand(len(texts), self.classes).astype(np.float32)"),
    "predict-ragged": ("predict", "return [[0.0] * (i % 3) for i, _ in enumerate(texts)]"),
    "decide-outside": ("decide", "return np.full(len(texts), 99)"),
    "decide-none": ("decide", "return None"),
    "parameters-none": ("parameters", "return None"),
    "parameters-negative": ("parameters", "return harness.Parameters(-1, -1, -1)"),
    "parameters-nan": ("parameters", "return harness.Parameters(float('nan'), 1, 0)"),
    "parameters-text": ("parameters", "return harness.Parameters('many', '\\x1b[31m', 0)"),
    "parameters-huge": ("parameters", "return harness.Parameters(10**400, 1, 0)"),
    "parameters-raise": ("parameters", "raise SystemExit"),
    "save-nothing": ("save", "return"),
    "save-raises": ("save", "raise OSError(28, 'no space')"),
    "save-outside": ("save", "(folder.parent.parent / 'mine').write_text('x')"),
    "save-link": ("save", "(folder / 'link').symlink_to('/etc/passwd')"),
    "save-loop": ("save", "(folder / 'loop').symlink_to('loop')"),
    "save-link-folder": ("save", "(folder / 'link').symlink_to('/proc')"),
    "save-pipe": ("save", "os.mkfifo(folder / 'pipe')"),
    "save-device": ("save", "(folder / 'zero').symlink_to('/dev/zero')"),
    "save-socket": (
        "save",
        "import socket; s = socket.socket(socket.AF_UNIX); os.chdir(folder); s.bind('s')",
    ),
    "save-manifest": ("save", "(folder.parent / 'manifest.json').write_text('{}')"),
    "save-closed": ("save", "(folder / 'x').write_text('x'); (folder / 'x').chmod(0); folder.chmod(0o500)"),
    "save-names": (
        "save",
        "(folder / 'a\\x1b[31m\\nb').write_text('x'); (folder / '\\udcff').write_text('x')",
    ),
    "save-many": ("save", "[(folder / str(i)).write_text('') for i in range(3000)]"),
    "save-deep": ("save", "os.makedirs(folder / '/'.join(['d'] * 100))"),
    "save-removes": ("save", "import shutil; shutil.rmtree(folder)"),
    "save-removes-parent": ("save", "import shutil; shutil.rmtree(folder.parent)"),
    "save-file-for-folder": ("save", "folder.rmdir(); folder.write_text('x')"),
    "load-none": ("load", "return None"),
    "load-raises": ("load", "raise SystemError('cannot load')"),
    "load-other": ("load", "return Model(2)"),
    "load-exits": ("load", "os._exit(1)"),
}

# Reaches for files that are not its own; the store's place is found from its own folder.
_STORE = "store = next(p for p in context.scratch.parents if (p / 'locks').is_dir())"
REACH = {
    "removes-models": f"import shutil; {_STORE}; shutil.rmtree(store / 'student', ignore_errors=True)",
    "removes-data": f"import shutil; {_STORE}; shutil.rmtree(store / 'data')",
    "removes-store": f"import shutil; {_STORE}; shutil.rmtree(store)",
    "removes-locks": f"import shutil; {_STORE}; shutil.rmtree(store / 'locks')",
    "removes-workspace": f"import shutil; {_STORE}; shutil.rmtree(store / 'tmp')",
    "changes-manifests": f"{_STORE}; [p.write_text('{{}}') for p in store.glob('*/*/manifest.json')]",
    "cuts-data": f"{_STORE}; [os.truncate(p, 100) for p in store.glob('data/*/*.arrow')]",
    "cuts-models": f"{_STORE}; [os.truncate(p, 10) for p in store.glob('student/*/model/*')]",
    "forges-timings": f"{_STORE}; (store / 'timings.jsonl').write_text('[]\\n{{\"work\": 1}}\\nNaN\\n')",
    "removes-results": f"import shutil; {_STORE}; shutil.rmtree(store.parent / 'results')",
    "removes-suite": f"{_STORE}; (store.parent / 'suite.toml').unlink()",
    "holds-locks": f"""
        {_STORE}
        from filelock import FileLock
        lock = globals()['lock'] = FileLock(store.parent / 'results' / 'suite' / '.lock')
        lock.acquire()""",
    "closes-store": f"{_STORE}; [p.chmod(0) for p in store.glob('*/*/manifest.json')]",
}

# Is a strange class: lines in its body; the name in the suite where it differs.
CLASSES = {
    "name-codes": "name = 'hos\\x1b[31mtile'",
    "name-path": "name = '../../hostile'",
    "name-none": "name = None",
    "name-long": "name = 'x' * 5000",
    "name-html": "name = '<script>alert(1)</script>'",
    "doc-codes": "__doc__ = 'Red \\x1b[31m\\x07 \\u202e and <b>bold</b>'",
    "doc-none": "__doc__ = None",
    "doc-number": "__doc__ = 5",
    "version-text": "version = 'one'",
    "version-object": "version = object()",
    "speed-zero": "speed = harness.Speed(train=0, label=0)",
    "speed-nan": "speed = harness.Speed(train=float('nan'), label=float('nan'))",
    "speed-negative": "speed = harness.Speed(train=-1, label=-1)",
    "speed-none": "speed = None",
    "types-none": "task_types = None",
    "types-raise": "task_types = property(lambda self: 1 / 0)",
    "field-function": "extra: object = lambda: 1",
    "field-lock": "import threading; extra: object = threading.Lock()",
    "field-list": "extra: tuple = ([1],)",
    "repr-raises": "def __repr__(self): raise ValueError('no name')",
    "repr-codes": "def __repr__(self): return '\\x1b[31mred'",
    "repr-random": "def __repr__(self): return str(np.random.rand())",
    "hash-raises": "def __hash__(self): raise TypeError('no hash')",
    "equal-raises": "def __eq__(self, other): raise ValueError('no')",
    "equal-all": "def __eq__(self, other): return True",
    "pickle-raises": "def __reduce__(self): raise TypeError('stays here')",
    "pickle-exits": "def __reduce__(self): return os._exit, (0,)",
    "pickle-hangs": "def __reduce__(self):\n        import time\n        return time.sleep, (3600,)",
    "check-raises": "def check(self): raise RuntimeError('no')",
    "check-exits": "def check(self): raise SystemExit(3)",
    "check-interrupts": "def check(self): raise KeyboardInterrupt",
    "check-prints": "def check(self): print('hello from check')",
    "check-moves": "def check(self): os.chdir('/')",
    "base-raises": "def base(self): raise RuntimeError('no')",
    "base-number": "def base(self): return 5",
    "base-moves": "def base(self):\n        os.chdir('/')\n        return ''",
    "base-random": "def base(self): return str(np.random.rand())",
    "prior-wrong": "prior = 5",
    "prior-itself": "prior = property(lambda self: harness.Recipe(None, None, self, None))",
    "getattr-raises": "def __getattribute__(self, name): raise RuntimeError(name)",
    "learns-none": "learns_from = None",
    "exports-lie": "exports = True",
    "accelerated-object": "accelerated = object()",
}

# Goes wrong when it is imported, or when its components are asked for.
IMPORTS = {
    "hang": "import time; time.sleep(3600)",
    "loop": "while True: pass",
    "os-exit": "os._exit(9)",
    "os-exit-0": "os._exit(0)",
    "system-exit": "raise SystemExit(0)",
    "raise": "raise RuntimeError('broken \\x1b[31mred')",
    "syntax": "def (:",
    "missing-module": "import there_is_no_such_module",
    "keyboard-interrupt": "raise KeyboardInterrupt",
    "base-exception": "raise BaseException('no')",
    "memory-error": "raise MemoryError",
    "recursion-error": "f = lambda: f(); f()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "kill": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "print": "print('hello from an import'); import sys; print('and on stderr', file=sys.stderr)",
    "write": "os.write(1, b'hello from an import\\n')",
    "bytes": "os.write(1, bytes(range(256)))",
    "warnings": "import warnings; warnings.warn('old'); warnings.simplefilter('error')",
    "logging": "import logging; logging.basicConfig(level=0); logging.warning('hello')",
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()",
    "child": "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "fork": "os.fork() or os._exit(0)",
    "exit-hook": "import atexit, time; atexit.register(time.sleep, 3600)",
    "exit-status": "import atexit; atexit.register(os._exit, 0)",
    "folder": "os.chdir('/')",
    "environment": "os.environ.clear()",
    "umask": "os.umask(0o777)",
    "recursion": "import sys; sys.setrecursionlimit(120)",
    "signals": "import signal; signal.signal(signal.SIGTERM, signal.signal(signal.SIGCHLD, signal.SIG_IGN))",
    "alarm": "import signal; signal.alarm(1)",
    "output-closed": "import sys; sys.stdout.close()",
    "output-none": "import sys; sys.stdout = sys.stderr = None",
    "descriptors": "os.closerange(0, 3)",
    "paths": "import sys; sys.path.clear()",
    "finders": "import sys; sys.meta_path.clear()",
    "modules": "import sys; sys.modules.pop('json', None); sys.modules['csv'] = None",
    "json": "import json; json.dumps = json.loads = lambda *given, **named: {}",
    "open": "import builtins; builtins.open = None",
    "clock": "import time; time.time = time.monotonic = lambda: 0.0",
    "trace": "import sys; sys.settrace(lambda *given: 1 / 0)",
    "limit-files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))",
    "base-class": "harness.Student.fit = harness.Model.predict = None",
    "start-method": "import multiprocessing; multiprocessing.set_start_method('fork', force=True)",
    "memory": "kept = np.ones(10**14)",
    "numpy-errors": "np.seterr(all='raise')",
    "deprecated": "import sys; sys.stdout.write('\\x1b[2J')",
}
HOOKS = {
    "hook-raises": "1 / 0",
    "hook-exits": "raise SystemExit(0)",
    "hook-os-exits": "os._exit(0)",
    "hook-hangs": "import time; time.sleep(3600)",
    "hook-prints": "print('hello from a hook')",
    "hook-nothing": "register(None)",
    "hook-number": "register(5)",
    "hook-type": "register(dict)",
    "hook-instance": "register(Hostile())",
    "hook-twice": "register(Hostile); register(Hostile)",
    "hook-takes-name": "register(type('Mlp', (Hostile,), {'name': 'toy', '__doc__': 'Mine.'}))",
    "hook-many": "[register(type(f'H{i}', (Hostile,), {'name': f'h{i}'})) for i in range(3000)]",
}
