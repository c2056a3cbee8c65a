#!/bin/sh
# Postfix: takes mail for the domain and gives it to Dovecot by LMTP, takes the
# users' mail on the submission port, and relays for nobody else. Dovecot and
# OpenDKIM run already (20-dovecot.sh, 30-opendkim.sh).
set -eu

domain=$XLFS_PARAM_MAIL_DOMAIN
ours=/etc/xlfs-mail

service() { # NAME ACTION
    if [ -d /run/systemd/system ]; then
        systemctl "$2" "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" "$2"
    else
        "/etc/rc.d/init.d/$1" "$2"
    fi
}

conf=$(postconf -d -h config_directory)
[ -e "$conf/main.cf" ] || echo '# Made by xlfs when this guest was made.' >"$conf/main.cf"
if [ ! -e "$conf/master.cf" ]; then cp "$conf/master.cf.proto" "$conf/master.cf"; fi
for file in main.cf master.cf; do
    [ -e "$conf/$file.image" ] || cp -p "$conf/$file" "$conf/$file.image"
done

# Names of the system, and those that RFC 2142 asks for, unless they have a mailbox.
for name in root abuse hostmaster webmaster mailer-daemon; do
    if ! grep -q "^$name@" "$ours/mailboxes"; then echo "$name postmaster@$domain"; fi
done >"$ours/aliases"

# Tables as plain text: every Postfix reads these, and nothing has to be made of them.
postconf -e \
    "myhostname=$XLFS_FQDN" "mydomain=$domain" "myorigin=$domain" \
    'mydestination=' 'alias_maps=' 'alias_database=' \
    'mynetworks=127.0.0.0/8 [::1]/128' 'inet_interfaces=all' 'inet_protocols=all' 'relayhost=' \
    'recipient_delimiter=+' 'biff=no' 'append_dot_mydomain=no' 'compatibility_level=3.6' \
    "virtual_mailbox_domains=$domain" \
    "virtual_mailbox_maps=texthash:$ours/mailboxes" \
    "virtual_alias_maps=texthash:$ours/aliases" \
    'virtual_transport=lmtp:unix:private/dovecot-lmtp' \
    "smtpd_tls_cert_file=$ours/certificate.pem" "smtpd_tls_key_file=$ours/key.pem" \
    'smtpd_tls_security_level=may' 'smtpd_tls_auth_only=yes' 'smtpd_tls_loglevel=1' \
    'smtpd_tls_mandatory_protocols=>=TLSv1.2' 'smtp_tls_security_level=may' \
    'smtpd_sasl_type=dovecot' 'smtpd_sasl_path=private/auth' 'smtpd_sasl_auth_enable=no' \
    "smtpd_sender_login_maps=texthash:$ours/mailboxes" \
    'smtpd_relay_restrictions=permit_mynetworks, reject_unauth_destination' \
    'smtpd_recipient_restrictions=' 'smtpd_helo_required=yes' 'disable_vrfy_command=yes' \
    "smtpd_banner=$XLFS_FQDN ESMTP" \
    'smtpd_milters=inet:127.0.0.1:8891' 'non_smtpd_milters=inet:127.0.0.1:8891' \
    'milter_default_action=tempfail' 'milter_protocol=6'

postconf -M 'submission/inet=submission inet n - n - - smtpd'
postconf -P \
    'submission/inet/syslog_name=postfix/submission' \
    'submission/inet/smtpd_tls_security_level=encrypt' \
    'submission/inet/smtpd_sasl_auth_enable=yes' \
    'submission/inet/smtpd_client_restrictions=permit_sasl_authenticated,reject' \
    'submission/inet/smtpd_sender_restrictions=reject_sender_login_mismatch' \
    'submission/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject'

echo "$domain" >/etc/mailname
postfix check
service postfix restart
echo "Postfix takes mail for $domain"
