"""What the checks of all templates need: the guest's address, a shell in it,
and requests whose failure is an answer too. XLFS_IN_GUEST has the words that
run a program in the guest: nsenter's (templates-in-chroot), or those of ssh,
when the guest is one of Xen's."""

import os
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request

GUEST = "10.77.0.2"
WORK = os.environ.get("XLFS_WORK", "")


def expect(truth, what):
    if not truth:
        sys.exit(f"FAILED: {what}")


def run(command):
    # An emulated guest takes its time.
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def way_in():
    return shlex.split(os.environ["XLFS_IN_GUEST"])


def shell(script):
    words = way_in()
    if words[0] == "ssh":  # which joins its words with blanks
        return run(words + ["exec /bin/sh -c " + shlex.quote(script)])
    return run(words + ["/bin/sh", "-c", script])


def guest(script):
    """What a shell in the guest prints, when it succeeds."""
    done = shell(script)
    expect(done.returncode == 0, f"in the guest: {script}: {done.stdout}{done.stderr}")
    return done.stdout


def fails(script, why):
    """Holds that it fails in the guest, and says why."""
    done = shell(script)
    expect(done.returncode != 0, f"in the guest this works: {script}")
    expect(why in done.stderr + done.stdout, f"{script}: {done.stdout}{done.stderr}")


def fetch(path, host=GUEST):
    """Status, headers and body of a page."""
    request = urllib.request.Request(f"http://{GUEST}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def takes(port):
    """Whether the guest takes connections on the port."""
    try:
        with socket.create_connection((GUEST, port), timeout=30):
            return True
    except ConnectionRefusedError:
        return False


def generated(name):
    """A secret that was made for this guest."""
    with open(f"{WORK}/generated", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file)[name]


def neighbour(command):
    """What a program prints that runs outside of the guest, the guest image's own
    where there are namespaces; whatever its exit code is."""
    words = way_in()
    if words[0] == "ssh":
        words = []
    else:
        words.remove("-n")
    done = run(words + command)
    return done.stdout + done.stderr


def fetch_console():
    """All that the guest has printed on its console since it booted."""
    with open(f"{WORK}/console", encoding="utf-8") as file:
        return file.read()


def step(name, change):
    """Runs a step of the template again, after `change`, a line of shell, has
    changed what it finds in its environment."""
    conf = "set -a; . /xlfs-seed/xlfs.conf"
    return shell(f"{conf}; {change}; sh /xlfs-seed/step-{name}")
