#!/bin/sh
# OpenDKIM: signs what the users send, checks what others send. Its key's public
# half is among the DNS records that 50-records.sh tells.
set -eu

domain=$XLFS_PARAM_MAIL_DOMAIN
selector=$XLFS_PARAM_DKIM_SELECTOR
keys=/etc/dkimkeys

service() { # NAME ACTION
    if [ -d /run/systemd/system ]; then
        systemctl "$2" "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" "$2"
    else
        "/etc/rc.d/init.d/$1" "$2"
    fi
}

install -d -m 700 -o opendkim -g opendkim "$keys"
key=$keys/$selector.private
if [ ! -e "$key" ]; then
    (umask 077 && openssl genrsa -out "$key.new" 2048)
    chown opendkim:opendkim "$key.new"
    mv -f "$key.new" "$key"
fi

conf=/etc/opendkim.conf
if [ -e $conf ] && [ ! -e $conf.image ]; then cp -p $conf $conf.image; fi
cat >$conf.new <<END
# Made by xlfs when this guest was made: yours from now on.
Syslog yes
UserID opendkim
UMask 007
PidFile /run/opendkim/opendkim.pid
Socket inet:8891@127.0.0.1
Mode sv
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
Domain $domain
Selector $selector
KeyFile $key
# A name server that does not answer is no reason to lose mail.
On-DNSError accept
DNSTimeout 5
END
chmod 644 $conf.new
opendkim -n -x $conf.new
mv -f $conf.new $conf
service opendkim restart
echo "OpenDKIM signs for $domain with the key $selector"
