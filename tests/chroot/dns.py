"""Asks the template dns's guest, by dig of its image, from its neighbours."""

import sys

from guest import GUEST, WORK, expect, guest, neighbour, step

RECORDS = """\
; the records of the first zone
@       IN MX 10 mail
        IN TXT "v=spf1 mx -all"
www     A 192.0.2.10
        AAAA 2001:db8::10
mail    A 192.0.2.25
alias   CNAME www
"""
MORE = """\
[example.net]
@ IN SOA ns.example.net. me.example.net. ( 7 3600 900 1209600 300 )
@ IN NS ns
ns A 192.0.2.53
[2.0.192.in-addr.arpa]
10 PTR www.example.org.
"""
STRANGER, SECONDARY = "10.77.0.1", "10.77.0.3"


def parameters():
    for name, text in [("records", RECORDS), ("more", MORE)]:
        with open(f"{WORK}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    print("zone=example.org")
    print(f"records=@{WORK}/records")
    print(f"more-zones=@{WORK}/more")
    print("name-servers=ns2.example.com.")
    print("contact=first.last@example.com")
    print("secondaries=" + SECONDARY)


def dig(*words, by=STRANGER):
    return neighbour(["dig", f"@{GUEST}", "-b", by, "+tries=2", "+time=5", *words])


def short(*words):
    return dig("+short", *words).split("\n")[:-1]


def answers():
    expect(short("www.example.org") == ["192.0.2.10"], "A")
    expect(short("www.example.org", "AAAA") == ["2001:db8::10"], "AAAA: an inherited owner")
    expect(short("example.org", "MX") == ["10 mail.example.org."], "MX")
    expect(sorted(short("example.org", "NS")) == ["dns.example.org.", "ns2.example.com."], "NS")
    expect(short("dns.example.org") == [GUEST], "the name server's own address")
    soa = short("example.org", "SOA")[0]
    expect(soa.startswith("dns.example.org. first\\.last.example.com. "), f"SOA {soa}")
    expect(short("example.net", "SOA")[0].split()[2] == "7", "a whole zone file was changed")
    expect(short("-x", "192.0.2.10") == ["www.example.org."], "PTR")
    full = dig("www.example.org")
    expect("status: NOERROR" in full and " aa" in full.split("flags:")[1].split(";")[0], "no authority")
    expect(" ra" not in full.split("flags:")[1].split(";")[0], "it offers recursion")
    expect("status: NXDOMAIN" in dig("nothing.example.org"), "NXDOMAIN")
    expect("status: NOERROR" in dig("www.example.org", "+tcp"), "TCP")


def first():
    answers()
    expect("status: REFUSED" in dig("www.example.com"), "another's name is answered")
    expect("status: REFUSED" in dig("www.example.com", "+norecurse"), "another's name is answered")
    for name in ["version.bind", "hostname.bind", "id.server"]:
        expect(short(name, "CH", "TXT") == [], f"{name} is told")
    for zone in ["example.org", "example.net"]:
        expect("Transfer failed" in dig(zone, "AXFR"), "a stranger fetched the zone")
        expect("SOA" in dig(zone, "AXFR", by=SECONDARY), "a secondary may not fetch the zone")
    expect("mail.example.org" in dig("example.org", "AXFR", by=SECONDARY), "the zone is not whole")
    guest("rndc reload")
    answers()
    wrong = step("10-zones.sh", "XLFS_PARAM_RECORDS='www IN A nonsense'")
    expect(wrong.returncode != 0 and "nonsense" in wrong.stdout, f"a wrong record: {wrong}")
    wrong = step("10-zones.sh", "XLFS_PARAM_MORE_ZONES='[../x]'")
    expect(wrong.returncode != 0 and "no name of a zone" in wrong.stderr, f"a wrong zone: {wrong}")
    answers()
    done = step("10-zones.sh", "unset XLFS_PARAM_SECONDARIES XLFS_PARAM_NAME_SERVERS XLFS_PARAM_CONTACT")
    expect(done.returncode == 0, f"without secondaries: {done}")
    expect(short("example.org", "SOA")[0].split()[1] == "hostmaster.example.org.", "the default contact")
    for zone in ["example.org", "example.net"]:
        expect("Transfer failed" in dig(zone, "AXFR", by=SECONDARY), "without secondaries, a zone can be fetched")
    expect(step("10-zones.sh", ":").returncode == 0, "all again")


def again():
    answers()
    expect("Transfer failed" in dig("example.org", "AXFR"), "a stranger fetched the zone")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    if sys.argv[1] != "parameters":
        print(f"dns {sys.argv[1]}: as it should be")
