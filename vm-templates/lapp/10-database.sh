#!/bin/sh
# The site's database: PostgreSQL answers local programs only, with scram
# passwords, and has the site's role, its database, and the first page's table.
# The web server's step, 20-web.sh, comes after.
set -eu

name=$XLFS_PARAM_DB_NAME
user=$XLFS_PARAM_DB_USER
export XLFS_PARAM_DB_PASSWORD

die() { echo "$*" >&2 && exit 1; }

case $name in postgres | template[01]) die "db-name: $name is PostgreSQL's own" ;; esac
case $user in postgres | pg_* | public | none) die "db-user: $user is PostgreSQL's own" ;; esac

service() { # NAME ACTION
    if [ -d /run/systemd/system ]; then
        systemctl "$2" "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" "$2"
    else
        "/etc/rc.d/init.d/$1" "$2"
    fi
}

as_postgres() { # runs a program as the cluster's owner, in the same environment
    (cd / && exec setpriv --reuid postgres --regid postgres --init-groups "$@")
}

sql() { as_postgres psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

answers() { [ "$(sql -d postgres -c 'SELECT 1' 2>/dev/null)" = 1 ]; }

wait_for_it() { # emulated machines are slow
    tries=0
    until answers; do
        tries=$((tries + 1))
        [ $tries -le 90 ] || die "PostgreSQL does not answer on its socket"
        sleep 1
    done
}

# --- The cluster: Debian keeps many and has programs for that; others one ----

debian_cluster() {
    if [ -z "$(pg_lsclusters -h)" ]; then
        version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -n 1)
        pg_createcluster "$version" main
    fi
    folder=$(pg_lsclusters -h | awk 'NR == 1 { print "/etc/postgresql/" $1 "/" $2 }')
    own=$folder/conf.d/xlfs.conf
    hba=$folder/pg_hba.conf
}

plain_cluster() {
    for bin in /usr/lib/postgresql/*/bin /usr/pgsql*/bin /usr/local/pgsql/bin /opt/*pgsql*/bin; do
        if [ -d "$bin" ]; then PATH=$PATH:$bin; fi
    done
    folder=${PGDATA:-}
    for one in /srv/pgsql/data /var/lib/pgsql/data /var/lib/postgresql/data; do
        if [ -z "$folder" ] && [ -d "$one" ]; then folder=$one; fi
    done
    folder=${folder:-/srv/pgsql/data}
    if [ ! -e "$folder/PG_VERSION" ]; then
        install -d -m 700 -o postgres -g postgres "$folder"
        as_postgres initdb -D "$folder" -E UTF8 --locale C.UTF-8 -A peer
    fi
    own=$folder/xlfs.conf
    hba=$folder/pg_hba.conf
    if ! grep -q "^include_if_exists = 'xlfs.conf'" "$folder/postgresql.conf"; then
        echo "include_if_exists = 'xlfs.conf'" >>"$folder/postgresql.conf"
    fi
}

if command -v pg_lsclusters >/dev/null; then debian_cluster; else plain_cluster; fi

mkdir -p "${own%/*}"
cat >"$own" <<'END'
# Set by xlfs when this guest was made.
listen_addresses = 'localhost'
ssl = off
password_encryption = 'scram-sha-256'
END
cat >"$hba" <<'END'
# Set by xlfs when this guest was made: its own programs only.
local all postgres peer
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
END
chown postgres:postgres "$own" "$hba"
chmod 644 "$own"
chmod 640 "$hba"

if answers; then
    sql -d postgres -c 'SELECT pg_reload_conf()' >/dev/null
    # What came with the image listens elsewhere; only a restart changes that.
    if [ "$(sql -d postgres -c 'SHOW listen_addresses')" != localhost ]; then service postgresql restart; fi
else
    service postgresql start
fi
wait_for_it

# --- Role, database, table -----------------------------------------------------
# The password comes through the environment: command lines are for all to read.

sql -d postgres -v name="$name" -v user="$user" <<'END'
\set password `printenv XLFS_PARAM_DB_PASSWORD`
SET password_encryption = 'scram-sha-256';
SELECT format('CREATE ROLE %I', :'user')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
ALTER ROLE :"user" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I ENCODING %L TEMPLATE template0', :'name', :'user', 'UTF8')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', :'name') \gexec
END
sql -d "$name" -v user="$user" <<'END'
SET client_min_messages = warning;
SET ROLE :"user";
CREATE TABLE IF NOT EXISTS xlfs_visits (
    page text PRIMARY KEY,
    visits bigint NOT NULL,
    last timestamptz NOT NULL
);
END
echo "PostgreSQL has the database $name of $user"
