"""OAuth clients of a tenant: programs that act for themselves, or for users who gave consent."""
