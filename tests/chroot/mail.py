"""Asks the template mail's guest: submission, delivery, DKIM, no relaying."""

import email
import imaplib
import re
import smtplib
import ssl
import sys
import time

import dkim
from guest import GUEST, WORK, expect, fetch_console, generated, guest, step, takes

DOMAIN = "example.org"
MAILBOXES = "anna it's a secret\n# nobody\nbert\n"
ANNA, ANNAS = f"anna@{DOMAIN}", "it's a secret"


def parameters():
    with open(f"{WORK}/mailboxes", "w", encoding="utf-8") as file:
        file.write(MAILBOXES)
    print(f"mail-domain={DOMAIN}")
    print(f"mailboxes=@{WORK}/mailboxes")
    print("dkim-selector=key1")


def tls():
    """The guest's own certificate, and its name in it."""
    context = ssl.create_default_context(cadata=guest("cat /etc/xlfs-mail/certificate.pem"))
    expect(context.check_hostname, "names are not checked")
    return context


class Submission(smtplib.SMTP):
    """The address is not in the DNS; the certificate's name is the server's."""

    def __init__(self):
        super().__init__(GUEST, 587, local_hostname="client.example.net", timeout=60)
        self._host = "mail.example.org"
        self.starttls(context=tls())


class Imap(imaplib.IMAP4_SSL):
    def _create_socket(self, timeout):
        plain = imaplib.IMAP4._create_socket(self, timeout)
        return self.ssl_context.wrap_socket(plain, server_hostname="mail.example.org")

    def __init__(self):
        super().__init__(GUEST, 993, ssl_context=tls(), timeout=60)


def text(sender, to, subject):
    return f"From: {sender}\nTo: {to}\nSubject: {subject}\nMessage-ID: <{time.time()}@client>\n\nHello.\n"


def refused(what, code, action):
    try:
        action()
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
    except smtplib.SMTPResponseException as error:
        codes = {error.smtp_code}
    except smtplib.SMTPNotSupportedError:
        codes = {"unsupported"}
    else:
        sys.exit(f"FAILED: {what} is allowed")
    expect(codes == {code}, f"{what}: {codes} instead of {code}")


def read(user, password, subject):
    """The message of this subject, once it is there."""
    until = time.time() + 60
    while time.time() < until:
        with Imap() as imap:
            imap.login(user, password)
            imap.select("INBOX")
            found = imap.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
            if found:
                return imap.fetch(found[-1], "(RFC822)")[1][0][1]
        time.sleep(0.5)
    sys.exit(f"FAILED: {subject} did not arrive at {user}: " + guest("tail -n 20 /var/log/mail.log /var/log/syslog"))


def submit(subject, to):
    with Submission() as smtp:
        smtp.login("anna", ANNAS)
        smtp.sendmail(ANNA, to, text(ANNA, to, subject))


def published():
    """The DKIM key's record, as it stands among those to publish."""
    return "".join(re.findall(r'^    "(.*)"$', guest("cat /root/dns-records.txt"), re.M))


def signed(raw):
    signature = re.sub(r"\s", "", email.message_from_bytes(raw).get("DKIM-Signature", ""))
    expect("d=example.org;" in signature and "s=key1;" in signature, f"no DKIM signature: {raw}")
    wrong = dkim.verify(raw, published())
    expect(wrong is None, f"DKIM: {wrong}: {raw}")
    for part, other in [(b"Hello.", b"Hallo."), (b"Subject: ", b"Subject: Re: "), (b"From: anna@", b"From: bert@")]:
        expect(part in raw and dkim.verify(raw.replace(part, other), published()), f"DKIM: {part} can be changed")


def berts():
    line = guest("cat /root/mail-passwords.txt").split()
    expect(line[0] == f"bert@{DOMAIN}" and len(line) == 2, "who has a password that was made")
    return line[1]


def first():
    expect(guest("stat -c %a /root/mail-passwords.txt /etc/xlfs-mail/users").split() == ["600", "640"], "who reads passwords")
    submit("to bert", f"bert@{DOMAIN}")
    message = read("bert", berts(), "to bert")
    signed(message)
    submit("with a detail", f"bert+list@{DOMAIN}")
    read(f"bert@{DOMAIN}", berts(), "with a detail")
    submit("to root", f"root@{DOMAIN}")
    read("postmaster", generated("postmaster-password"), "to root")

    # From elsewhere, without a password: to the domain only.
    with smtplib.SMTP(GUEST, 25, local_hostname="mx.example.net", timeout=60) as smtp:
        smtp.ehlo()
        expect("auth" not in smtp.esmtp_features, "passwords are taken on port 25")
        expect("starttls" in smtp.esmtp_features, "no TLS on port 25")
        other = "other@example.net"
        smtp.sendmail(other, ANNA, text(other, ANNA, "from elsewhere"))
        refused("relaying", 554, lambda: smtp.sendmail(other, "third@example.com", text(other, "third@example.com", "x")))
        refused("relaying as one of ours", 554, lambda: smtp.sendmail(ANNA, "third@example.com", text(ANNA, "x", "x")))
        for trick in ["third%example.com@example.org", "@example.org:third@example.com", '"third@example.com"@example.org', "nobody@example.org"]:
            smtp.rset()
            smtp.docmd("MAIL FROM:<other@example.net>")
            code = smtp.docmd(f"RCPT TO:<{trick}>")[0]
            expect(code >= 500, f"{trick} is taken: {code}")
    expect(b"DKIM-Signature" not in read("anna", ANNAS, "from elsewhere"), "others' mail is signed as ours")

    with smtplib.SMTP(GUEST, 587, local_hostname="client.example.net", timeout=60) as plain:
        refused("a password without TLS", "unsupported", lambda: plain.login("anna", ANNAS))
        refused("submission without TLS", 530, lambda: plain.sendmail(ANNA, ANNA, "x"))
    with Submission() as smtp:
        refused("submission without a password", 554, lambda: smtp.sendmail(ANNA, ANNA, text(ANNA, ANNA, "x")))
    with Submission() as smtp:
        refused("a wrong password", 535, lambda: smtp.login("anna", "wrong"))
    with Submission() as smtp:
        smtp.login(ANNA, ANNAS)
        bert = f"bert@{DOMAIN}"
        refused("sending as another", 553, lambda: smtp.sendmail(bert, ANNA, text(bert, ANNA, "x")))
    expect(not takes(143) and not takes(110) and not takes(8891) and not takes(24), "too many ports are open")

    records = guest("cat /root/dns-records.txt")
    for part in ["example.org. IN MX 10 mail.example.org.", '"v=spf1 mx -all"', "_dmarc.example.org. IN TXT", f"mail.example.org. IN A {GUEST}"]:
        expect(part in records, f"no {part} in {records}")
    expect(records in fetch_console(), "the records are not on the console")
    log = guest("cat /var/log/xlfs-first-boot.log")
    for secret in [ANNAS, berts(), generated("postmaster-password")]:
        expect(secret not in log and secret not in fetch_console(), "a password is in the log")
    given_certificate()


def given_certificate():
    """From the next boot on the server has it; the checks hold that it is the one in the file."""
    guest("cd /root && openssl req -x509 -new -nodes -newkey rsa:2048 -days 9 -subj /CN=given -addext "
          "subjectAltName=DNS:mail.example.org -keyout given.key -out given.pem 2>/dev/null && openssl genrsa -out other.key 2048")
    give = 'XLFS_PARAM_CERTIFICATE="$(cat /root/given.pem)" XLFS_PARAM_CERTIFICATE_KEY="$(cat /root/{}.key)"'
    wrong = step("10-accounts.sh", give.format("other"))
    expect(wrong.returncode != 0 and "does not belong" in wrong.stderr, f"another's key: {wrong}")
    wrong = step("10-accounts.sh", "XLFS_PARAM_CERTIFICATE=nonsense")
    expect(wrong.returncode != 0 and "certificate" in wrong.stderr, f"no certificate: {wrong}")
    expect("given" not in guest("openssl x509 -noout -subject -in /etc/xlfs-mail/certificate.pem"), "a wrong one is taken")
    done = step("10-accounts.sh", give.format("given"))
    expect(done.returncode == 0, f"a certificate: {done}")
    guest("cmp /root/given.pem /etc/xlfs-mail/certificate.pem")
    wrong = step("10-accounts.sh", "XLFS_PARAM_MAILBOXES='../x secret'")
    expect(wrong.returncode != 0 and "no name of a mailbox" in wrong.stderr, f"a wrong mailbox: {wrong}")


def again():
    subject = f"again {time.time()}"
    submit(subject, f"bert@{DOMAIN}")
    signed(read("bert", berts(), subject))
    read("bert", berts(), "to bert")
    read("postmaster", generated("postmaster-password"), "to root")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    if sys.argv[1] != "parameters":
        print(f"mail {sys.argv[1]}: as it should be")
