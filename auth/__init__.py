"""auth: users, their passwords and their sessions. Only this part can mint a user's token."""
