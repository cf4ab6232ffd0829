"""Runs programs that a model wrote, as if they were written by an attacker.

How: the tests run outside the box (referee.py) against a proxy; the box only calls the candidate function
and answers with data, functions and iterators by reference (inside/peer.py). A warmed interpreter
(inside/zygote.py) forks one confined child a program, which is killed after its verdict. pool.py is the
door; modes.py names the ways of containing.

What is stopped, in every contained mode:
- faking a pass: expected answers and verdicts are never in a process that ran model code; answers are
  rebuilt as plain values, so an object that equals everything equals nothing;
- network of any kind, new processes, signals to and inspection of other processes, files outside;
- secrets: no environment, no home, no data set, no descriptors of this process;
- use without end: CPU and wall time, memory, file size, descriptors, threads, stack, output;
- leaving something for the next program: its process, its open files, its scratch folder and its memory are
  gone; hurting a neighbour: each lane has a user id or a user namespace of its own;
- holding the tests: what they rebuild is bounded, and one that is held is ended.
With `bubblewrap`: around the box fresh user (unless started by root), pid, mount, net, ipc, uts and cgroup
namespaces, and fresh pid, mount and ipc ones for each program; no file of the machine but system libraries
and the interpreter; a scratch folder of 16 MiB; on top Landlock, a seccomp allow-list, rlimits, no
capability, a uid of no one's. With `landlock`: the same without any writable folder, and with namespaces
only where the kernel grants them to anyone. Where neither holds, programs do not run, unless the user says
--unsafe-no-sandbox; the record shows which it was.

What is not stopped: vulnerabilities of the kernel, of bubblewrap or of the processor (side channels);
seeing that files exist, though not what is in them, under `landlock` alone; memorised answers
and tests that are too weak; a program that is right but too slow on this machine. With
--unsafe-no-sandbox, nothing is stopped but an endless loop and a faked pass.
"""
