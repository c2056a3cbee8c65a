#!/bin/sh
# The DNS records that others need to send to this domain and to believe that
# mail comes from it: on the console, and in /root/dns-records.txt.
set -eu

domain=$XLFS_PARAM_MAIL_DOMAIN
selector=$XLFS_PARAM_DKIM_SELECTOR
file=/root/dns-records.txt

public=$(openssl rsa -in "/etc/dkimkeys/$selector.private" -pubout 2>/dev/null | sed '/^-/d' | tr -d '\n')
[ -n "$public" ]
addresses=$XLFS_ADDRESSES
if [ -z "$addresses" ]; then # by DHCP
    addresses=$(ip -o addr show scope global | awk '{ sub("/.*", "", $4); print $4 }')
fi

{
    echo "; Publish these for $domain. Behind NAT, put the public address in place of"
    echo "; the guest's; and let that address's PTR say $XLFS_FQDN."
    for address in $addresses; do
        case $address in *:*) type=AAAA ;; *) type=A ;; esac
        echo "$XLFS_FQDN. IN $type $address"
    done
    echo "$domain. IN MX 10 $XLFS_FQDN."
    echo "$domain. IN TXT \"v=spf1 mx -all\""
    # A text has at most 255 bytes; short ones are easier to copy from a console.
    echo "$selector._domainkey.$domain. IN TXT ("
    printf '%s\n' "v=DKIM1; k=rsa; p=$public" | fold -w 70 | sed 's/.*/    "&"/'
    echo ")"
    echo "_dmarc.$domain. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:postmaster@$domain\""
} >$file
cat $file
# A guest without a console has the file.
cat $file 2>/dev/null >/dev/console || true
