#!/bin/sh
# The mailboxes and their passwords, and the certificate: what Dovecot and
# Postfix share. All of it stands in /etc/xlfs-mail.
set -eu

domain=$XLFS_PARAM_MAIL_DOMAIN
ours=/etc/xlfs-mail
made=/root/mail-passwords.txt

die() { echo "$*" >&2 && exit 1; }

install -d -m 755 "$ours"

# --- Mailboxes -----------------------------------------------------------------

if ! id -u vmail >/dev/null 2>&1; then
    getent group vmail >/dev/null || groupadd -r vmail
    useradd -r -g vmail -d /var/vmail -s /bin/false vmail
fi
install -d -m 750 -o vmail -g vmail /var/vmail

random() { # letters and digits, 96 bits of them
    openssl rand -base64 48 | tr -dc 'A-Za-z0-9' | cut -c 1-16
}

password() { # NAME: the one that was made for it, at this time or an earlier one
    if [ -e "$made" ]; then
        found=$(awk -v name="$1@$domain" '$1 == name { print $2 }' "$made")
        if [ -n "$found" ]; then echo "$found" && return; fi
    fi
    new=$(random)
    printf '%s %s\n' "$1@$domain" "$new" >>"$made"
    echo "$new"
}

account() { # NAME PASSWORD
    # The password by a pipe: a command line is for all to read.
    hash=$(printf '%s\n' "$2" | openssl passwd -6 -stdin)
    # Like a line of passwd; without the empty fields it would be no user.
    printf '%s@%s:{SHA512-CRYPT}%s::::::\n' "$1" "$domain" "$hash" >>"$ours/users.new"
    printf '%s@%s %s@%s\n' "$1" "$domain" "$1" "$domain" >>"$ours/mailboxes.new"
}

(umask 077 && : >"$ours/users.new" && touch "$made")
echo "# Each address and who may send as it. Made by xlfs." >"$ours/mailboxes.new"
account postmaster "$XLFS_PARAM_POSTMASTER_PASSWORD"
printf '%s\n' "${XLFS_PARAM_MAILBOXES:-}" | while read -r name given; do
    case $name in '' | '#'*) continue ;; esac
    name=$(printf '%s' "${name%@"$domain"}" | tr '[:upper:]' '[:lower:]')
    case $name in
    .* | -* | *. | *..* | *[!a-z0-9._-]*) die "mailboxes: $name is no name of a mailbox: letters, digits and ._-" ;;
    esac
    if grep -q "^$(printf '%s' "$name" | sed 's/\./\\./g')@" "$ours/users.new"; then die "mailboxes: $name is there twice"; fi
    account "$name" "${given:-$(password "$name")}"
done
for group in dovecot root; do # who checks passwords
    if getent group "$group" >/dev/null; then break; fi
done
chgrp "$group" "$ours/users.new"
chmod 640 "$ours/users.new"
mv -f "$ours/users.new" "$ours/users"
mv -f "$ours/mailboxes.new" "$ours/mailboxes"
[ -s "$made" ] || rm -f "$made"

# --- The certificate -------------------------------------------------------------

if [ -n "${XLFS_PARAM_CERTIFICATE:-}" ] || [ -n "${XLFS_PARAM_CERTIFICATE_KEY:-}" ]; then
    (umask 077 && printf '%s\n' "${XLFS_PARAM_CERTIFICATE_KEY:-}" >"$ours/key.new")
    printf '%s\n' "${XLFS_PARAM_CERTIFICATE:-}" >"$ours/certificate.new"
    of_key=$(openssl pkey -in "$ours/key.new" -pubout) || die "certificate-key is no private key in PEM"
    of_certificate=$(openssl x509 -in "$ours/certificate.new" -noout -pubkey) || die "certificate is none in PEM"
    [ "$of_key" = "$of_certificate" ] || die "certificate-key does not belong to the certificate"
    mv -f "$ours/key.new" "$ours/key.pem"
    mv -f "$ours/certificate.new" "$ours/certificate.pem"
elif [ ! -e "$ours/certificate.pem" ]; then
    subject=$XLFS_FQDN
    if [ ${#subject} -gt 64 ]; then subject=$XLFS_HOST; fi # no longer name fits there
    (umask 077 && openssl req -x509 -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -sha256 \
        -days 3650 -subj "/CN=$subject" -addext "subjectAltName=DNS:$XLFS_FQDN" \
        -keyout "$ours/key.new" -out "$ours/certificate.new")
    mv -f "$ours/key.new" "$ours/key.pem"
    mv -f "$ours/certificate.new" "$ours/certificate.pem"
fi
chmod 600 "$ours/key.pem"
chmod 644 "$ours/certificate.pem"
echo "$(grep -c @ "$ours/users") mailboxes of $domain"
