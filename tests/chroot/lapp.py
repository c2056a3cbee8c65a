"""Asks the template lapp's guest: one page proves httpd, PHP and PostgreSQL."""

import re
import sys

from guest import expect, fails, fetch, generated, guest, takes

PARAMETERS = ["site-name=www.example.org", "admin-email=admin@example.org", "db-name=shop", "db-user=keeper"]


def visits():
    status, headers, body = fetch("/")
    expect(status == 200, f"/ is answered with {status}: {body}")
    expect("www.example.org" in fetch("/", host="www.example.org")[2], "the page does not name the site")
    expect(headers.get("Server") == "Apache", f"the server tells {headers.get('Server')}")
    expect("X-Powered-By" not in headers, "PHP tells its version")
    return int(re.search(r"visits: (\d+)", body).group(1))


def first():
    expect(visits() == 1, "the first visit is not the first")
    expect(visits() == 3, "visits are not counted")
    guest("test -e /var/www/site/index.php")
    status, _, body = fetch("/xlfs-health")
    expect((status, body) == (200, "xlfs-health: ok\n"), f"health: {status} {body}")
    for secret in ["/.git/config", "/.env", "/../connect.php"]:
        expect(fetch(secret)[0] in (400, 403, 404), f"{secret} is served")
    guest("mkdir -p /var/www/site/files /var/www/site/.git && echo x >/var/www/site/.git/config")
    expect(fetch("/files/")[0] in (403, 404), "a folder is listed")
    expect(fetch("/.git/config")[0] == 403, "/.git is served")
    password = generated("db-password")
    expect(len(password) == 24, "no password was made")
    sql = "psql -X -At -h {} -U keeper shop -c 'SELECT 42'"
    expect(guest(f"PGPASSWORD={password} {sql.format('localhost')}").strip() == "42", "the password does not fit")
    fails(f"PGPASSWORD=wrong {sql.format('localhost')}", "password authentication failed")
    fails(f"PGPASSWORD=wrong {sql.format('/run/postgresql')}", "password authentication failed")
    hashes = guest("setpriv --reuid postgres --regid postgres --init-groups psql -X -At -c 'SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL'")
    expect(hashes.startswith("SCRAM-SHA-256"), "no scram")
    expect(not takes(5432) and takes(80), "PostgreSQL is open to the network")
    expect(guest("stat -c '%a %U %G' /etc/xlfs-lapp/database.php").strip() == "640 root www-data", "who reads the password")
    expect(password not in guest("cat /var/log/xlfs-first-boot.log"), "the password is in the log")


def again():
    before = visits()
    expect(before >= 4, "what was written is gone")
    expect(not takes(5432), "PostgreSQL is open to the network")
    expect(visits() == before + 2, "visits are not counted")


if __name__ == "__main__":
    if sys.argv[1] == "parameters":
        print("\n".join(PARAMETERS))
    else:
        globals()[sys.argv[1]]()
        print(f"lapp {sys.argv[1]}: as it should be")
