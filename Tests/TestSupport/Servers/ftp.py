"""An FTP server for tests, of the folder that it is given. Prints its port.

Anyone may read; `user` has the password `secret`.
"""
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

folder = sys.argv[1]
authorizer = DummyAuthorizer()
authorizer.add_anonymous(folder)
authorizer.add_user("user", "secret", folder)


class Handler(FTPHandler):
    pass


Handler.authorizer = authorizer
server = FTPServer(("127.0.0.1", 0), Handler)
print("listens on port", server.address[1], flush=True)
server.serve_forever(handle_exit=False)
