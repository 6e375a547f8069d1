"""The commands, named by the path that is typed: `commands/auth/push.py` is `auth push`."""
