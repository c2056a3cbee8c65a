"""Checks a DKIM signature (RFC 6376; relaxed/relaxed, rsa-sha256) with the key
that was published, by nothing of OpenDKIM's."""

import base64
import hashlib
import re
import subprocess
import tempfile


def _headers(head):
    """Names and values, folded lines and all, in their order."""
    return [tuple(line.split(":", 1)) for line in re.split(r"\r\n(?![ \t])", head)]


def _relaxed(name, value):
    value = re.sub(r"[ \t]+", " ", value.replace("\r\n", ""))
    return f"{name.strip().lower()}:{value.strip(' ')}"


def _relaxed_body(body):
    lines = [re.sub(r"[ \t]+", " ", line).rstrip(" ") for line in body.split("\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return "".join(line + "\r\n" for line in lines)


def verify(message, published):
    """None when the message's signature is good, or what is wrong with it.
    `published` is the text of the key's DNS record."""
    head, body = message.decode("utf-8", "surrogateescape").split("\r\n\r\n", 1)
    headers = _headers(head)
    mine = [header for header in headers if header[0].lower() == "dkim-signature"]
    if len(mine) != 1:
        return f"{len(mine)} signatures"
    tags = dict(tag.strip().split("=", 1) for tag in re.sub(r"\s", "", mine[0][1]).rstrip(";").split(";"))
    if (tags["c"], tags["a"]) != ("relaxed/relaxed", "rsa-sha256"):
        return f"another kind: {tags['c']} {tags['a']}"
    digest = hashlib.sha256(_relaxed_body(body).encode("utf-8", "surrogateescape")).digest()
    if base64.b64encode(digest).decode() != tags["bh"]:
        return "the body is another"
    text, rest = "", list(headers)
    for name in tags["h"].split(":"):
        for header in reversed(rest):
            if header[0].lower() == name.lower():
                text += _relaxed(*header) + "\r\n"
                rest.remove(header)
                break
    text += _relaxed(mine[0][0], re.sub(r"([;\s]b=)[^;]*", r"\1", mine[0][1]))
    key = re.search(r"p=([A-Za-z0-9+/=]+)", published).group(1)
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/key", "w", encoding="ascii") as file:
            lines = "\n".join(re.findall(".{1,64}", key))
            file.write(f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n")
        with open(f"{folder}/signature", "wb") as file:
            file.write(base64.b64decode(tags["b"]))
        command = ["openssl", "dgst", "-sha256", "-verify", f"{folder}/key", "-signature", f"{folder}/signature"]
        done = subprocess.run(command, input=text.encode("utf-8", "surrogateescape"), capture_output=True)
    return None if done.returncode == 0 else "the headers are others, or the key is"
