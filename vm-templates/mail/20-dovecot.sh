#!/bin/sh
# Dovecot: IMAP with TLS for the users, LMTP for Postfix, and the check of
# passwords for both. The accounts stand already (10-accounts.sh).
set -eu

domain=$XLFS_PARAM_MAIL_DOMAIN
ours=/etc/xlfs-mail
queue=$(postconf -h queue_directory 2>/dev/null || echo /var/spool/postfix)

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

version=$(dovecot --version)
case $version in 2.3.*) ;; *) die "this template knows how Dovecot 2.3 is configured; the image has $version" ;; esac

conf=
for file in /etc/dovecot/dovecot.conf /usr/local/etc/dovecot/dovecot.conf; do
    if [ -z "$conf" ] && [ -d "${file%/*}" ]; then conf=$file; fi
done
[ -n "$conf" ] || die "this image has no folder for Dovecot's configuration"
if [ -e "$conf" ] && [ ! -e "$conf.image" ]; then cp -p "$conf" "$conf.image"; fi
install -d -m 755 "$queue"
install -d -m 700 -o postfix -g root "$queue/private"

cat >"$conf.new" <<END
# Made by xlfs when this guest was made: yours from now on.
protocols = imap lmtp
listen = *, ::

ssl = required
ssl_min_protocol = TLSv1.2
ssl_cert = <$ours/certificate.pem
ssl_key = <$ours/key.pem

auth_mechanisms = plain login
auth_default_realm = $domain
disable_plaintext_auth = yes
passdb {
  driver = passwd-file
  args = scheme=SHA512-CRYPT username_format=%Lu $ours/users
}
userdb {
  driver = passwd-file
  args = username_format=%Lu $ours/users
  default_fields = uid=vmail gid=vmail home=/var/vmail/%Ld/%Ln
}
first_valid_uid = $(id -u vmail)
mail_location = maildir:~/Maildir
recipient_delimiter = +

namespace inbox {
  inbox = yes
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Junk {
    auto = subscribe
    special_use = \\Junk
  }
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
}

service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = 993
    ssl = yes
  }
}
service lmtp {
  unix_listener $queue/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
service auth {
  unix_listener $queue/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
protocol lmtp {
  postmaster_address = postmaster@$domain
}
END
chmod 644 "$conf.new"
doveconf -c "$conf.new" -n >/dev/null
mv -f "$conf.new" "$conf"
service dovecot restart
echo "Dovecot serves the mailboxes of $domain"
