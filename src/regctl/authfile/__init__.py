"""
The registry's users: the auth file that htpasswd writes and the registry or its proxy reads.

`lines` parses the file, `htpasswd` has its users and `edit` changes it on disk. `userlist` writes
whole lists, `readers` knows the programs that read such files, `audit` checks for them, and
`repair` repairs. This package must not know Kubernetes, nor the registry's API.
"""
