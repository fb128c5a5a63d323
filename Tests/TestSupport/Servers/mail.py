"""A mail server for tests. Prints its port, and each mail that it takes as one line of JSON:
the envelope, and the message as Python's own parser reads it.

    mail.py MODE [CERTIFICATE KEY]

`plain` offers no TLS, `starttls` offers it, `tls` begins with it; `login` is `starttls` where
`user` with the password `s3cret-pass` must log in. Recipients at `refused.example` are refused.
`silent` says nothing, `stuck` never answers to the end of a mail, `rude` never to QUIT, and
`echo` repeats a wrong login in its refusal.
"""
import asyncio
import base64
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import AuthResult, SMTP

mode = sys.argv[1]
context = None
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])


def describe(part):
    content = part.get_payload(decode=True) or b""
    return {
        "type": part.get_content_type(),
        "charset": part.get_content_charset(),
        "name": part.get_filename(),
        "content": base64.b64encode(content).decode(),
    }


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@refused.example"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if mode == "stuck":
            print("STUCK", flush=True)
            await asyncio.sleep(60)
        raw = envelope.content
        message = email.message_from_bytes(raw, policy=email.policy.default)
        print("MAIL", json.dumps({
            "from": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "tls": session.ssl is not None or mode == "tls",
            "login": getattr(session.auth_data, "decode", lambda: None)(),
            "header": [[name, str(value)] for name, value in message.items()],
            "raw": raw.decode("latin-1"),
            "defects": [repr(d) for part in message.walk() for d in part.defects],
            "longest": max(len(line) for line in raw.split(b"\r\n")),
            "parts": [describe(p) for p in message.walk() if not p.is_multipart()],
        }), flush=True)
        return "250 2.0.0 taken as number 17"

    async def handle_QUIT(self, server, session, envelope):
        if mode == "rude":
            await asyncio.sleep(60)
        return "221 bye"


def authenticate(server, session, envelope, mechanism, data):
    if data.login == b"user" and data.password == b"s3cret-pass":
        return AuthResult(success=True, auth_data=data.login)
    if mode == "echo":
        text = f"535 5.7.8 not {data.login.decode()} with {data.password.decode()}"
        return AuthResult(success=False, handled=False, message=text)
    return AuthResult(success=False, handled=False)


def protocol():
    logs_in = mode in ("login", "echo")
    offers_tls = mode in ("starttls", "login", "echo")
    return SMTP(
        Handler(), hostname="mail.example", loop=asyncio.get_running_loop(),
        tls_context=context if offers_tls else None, require_starttls=False,
        authenticator=authenticate if logs_in else None, auth_required=logs_in,
        auth_exclude_mechanism=[] if mode != "echo" else ["LOGIN"])


async def silence(reader, writer):
    print("CONNECTED", flush=True)
    await reader.read()
    print("GONE", flush=True)


async def main():
    loop = asyncio.get_running_loop()
    if mode == "silent":
        server = await asyncio.start_server(silence, "127.0.0.1", 0)
    else:
        server = await loop.create_server(
            protocol, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    print("listens on port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
