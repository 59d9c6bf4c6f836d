"""The auth service for a process of its own, with cheap passwords."""

from auth.service import AuthService as AuthService
from auth.tests.cheap_passwords import cheap_passwords

cheap_passwords().start()
