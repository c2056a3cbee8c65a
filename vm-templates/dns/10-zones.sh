#!/bin/sh
# The zones: a file for each, of the records given or with an SOA and NS added,
# and a configuration that answers for these zones only.
set -eu

name_servers=${XLFS_PARAM_NAME_SERVERS:-}
secondaries=${XLFS_PARAM_SECONDARIES:-}
ttl=$XLFS_PARAM_TTL

die() { echo "$*" >&2 && exit 1; }

service() { # NAME ACTION
    if [ -d /run/systemd/system ]; then
        systemctl "$2" "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" "$2"
    else
        "/etc/rc.d/init.d/$1" "$2"
    fi
}

# --- Where this image has things; under LFS named runs in /srv/named --------

jail='' conf=''
for file in /etc/bind/named.conf /srv/named/etc/named.conf /etc/named/named.conf /etc/named.conf; do
    if [ -z "$conf" ] && [ -e "$file" ]; then conf=$file; fi
done
case $conf in
'') die "this image has no BIND 9: no named.conf" ;;
/srv/named/*) jail=/srv/named ;;
esac
base=${conf%/*}
for user in bind named; do
    if id -u "$user" >/dev/null 2>&1; then break; fi
done
group=$(id -gn "$user") || die "this image has no user bind or named"
cache=
for folder in /var/cache/bind /var/named /var/cache/named; do
    if [ -z "$cache" ] && [ -d "$jail$folder" ]; then cache=$folder; fi
done
if [ -z "$cache" ]; then
    cache=/var/cache/bind
    install -d -m 775 -o root -g "$group" "$jail$cache"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- The zones' files --------------------------------------------------------

primary=$XLFS_FQDN
case $primary in *.*) ;; *) primary=ns1.$XLFS_PARAM_ZONE ;; esac
addresses=$XLFS_ADDRESSES
if [ -z "$addresses" ]; then # by DHCP
    addresses=$(ip -o addr show scope global | awk '{ sub("/.*", "", $4); print $4 }')
fi

has_soa() { # FILE
    sed 's/;.*//' "$1" | grep -qiE '(^|[[:space:]])SOA[[:space:]]'
}

has_address() { # FILE ZONE NAME: whether the records give the name an address
    sed 's/;.*//' "$1" | awk -v zone="$2" -v name="$3" '
        { owner = tolower($1); if ($0 ~ /^[[:space:]]/) owner = last; last = owner
          if (owner == "@") owner = zone; else if (owner !~ /\.$/) owner = owner "." zone
          sub(/\.$/, "", owner)
          for (i = 2; i <= NF; i++) if (owner == name && toupper($i) ~ /^(A|AAAA|CNAME)$/) found = 1 }
        END { exit !found }'
}

mailbox() { # ADDRESS ZONE: as an SOA has it
    if [ -z "$1" ]; then echo "hostmaster.$2." && return; fi
    echo "$(printf '%s' "${1%@*}" | sed 's/\./\\./g').${1#*@}."
}

zone_file() { # NAME RECORDS
    echo "; Made by xlfs when this guest was made: yours from now on."
    echo "; Raise the serial with each change, then: rndc reload"
    echo "\$ORIGIN $1."
    echo "\$TTL $ttl"
    if ! has_soa "$2"; then
        echo "@ IN SOA $primary. $(mailbox "${XLFS_PARAM_CONTACT:-}" "$1") ("
        echo "    $(date +%Y%m%d)01 ; serial"
        echo "    3600 900 1209600 300 ) ; refresh, retry, expire, of a name that is not there"
        for server in $primary $name_servers; do echo "@ IN NS ${server%.}."; done
        case $primary in
        "$1" | *".$1")
            if ! has_address "$2" "$1" "$primary"; then
                for address in $addresses; do
                    case $address in *:*) type=AAAA ;; *) type=A ;; esac
                    echo "$primary. IN $type $address"
                done
            fi
            ;;
        esac
    fi
    cat "$2"
}

# Each zone's records as a file named by it.
mkdir "$work/records" "$work/zones"
printf '%s\n' "${XLFS_PARAM_RECORDS:-}" >"$work/records/$XLFS_PARAM_ZONE"
printf '%s\n' "${XLFS_PARAM_MORE_ZONES:-}" | awk -v folder="$work/records" -v first="$XLFS_PARAM_ZONE" '
    function fail(what) { print "more-zones: " what > "/dev/stderr"; failed = 1; exit 1 }
    /^\[.*\][[:space:]]*$/ {
        zone = tolower($0); gsub(/[][[:space:]]/, "", zone); sub(/\.$/, "", zone)
        if (zone !~ /^[a-z0-9_]([a-z0-9_.\/-]*[a-z0-9])?$/ || zone ~ /\.\./) fail("[" zone "] is no name of a zone")
        if (zone == first || zone in seen) fail("[" zone "] is given twice")
        seen[zone] = 1; file = zone; gsub(/\//, "%", file); file = folder "/" file
        printf "" > file; next
    }
    zone == "" && !/^[[:space:]]*(;.*)?$/ { fail("the line before the first [zone]: " $0) }
    zone != "" { print > file }
    END { exit failed }'
for file in "$work"/records/*; do
    zone=$(printf '%s' "${file##*/}" | tr % /)
    zone_file "$zone" "$file" >"$work/zones/${file##*/}.zone"
    named-checkzone "$zone" "$work/zones/${file##*/}.zone"
done

# --- The configuration --------------------------------------------------------

list() { printf '%s; ' "$@"; } # of addresses, as BIND wants it

configuration() {
    cat <<END
// Made by xlfs when this guest was made: yours from now on.
// It answers for its zones, and for nothing else.
options {
    directory "$cache";
    listen-on { any; };
    listen-on-v6 { any; };
    recursion no;
    allow-query { any; };
    allow-query-cache { none; };
    allow-transfer { none; };
    allow-update { none; };
    notify explicit;
    minimal-responses yes;
    dnssec-validation no;
    version none;
    hostname none;
    server-id none;
    // Makes it useless for flooding others with answers.
    rate-limit { responses-per-second 50; exempt-clients { localhost; }; };
};

END
    for file in "$work"/records/*; do
        cat <<END
zone "$(printf '%s' "${file##*/}" | tr % /)" {
    type master;
    file "${base#"$jail"}/zones/${file##*/}.zone";
END
        if [ -n "$secondaries" ]; then
            # shellcheck disable=SC2086
            printf '    %s { %s};\n' allow-transfer "$(list $secondaries)" also-notify "$(list $secondaries)"
        fi
        echo "};"
    done
}

install -d -m 755 "$base/zones"
install -m 644 "$work"/zones/* "$base/zones/"
[ -e "$conf.image" ] || cp -p "$conf" "$conf.image"
configuration >"$conf.new"
chmod 644 "$conf.new"
named-checkconf ${jail:+-t "$jail"} -z "${conf#"$jail"}.new"

# The image's key for rndc is no secret: others have the image too.
for name in named bind9 bind; do
    if [ -e "/etc/init.d/$name" ] || [ -e "/etc/rc.d/init.d/$name" ] || [ -e "/lib/systemd/system/$name.service" ]; then
        break
    fi
done
service "$name" stop || true
mv -f "$conf.new" "$conf"
rndc-confgen -a -b 256 ${jail:+-t "$jail"} -u "$user" >/dev/null 2>&1
service "$name" start
echo "BIND answers for $(cd "$work/records" && echo *)"
