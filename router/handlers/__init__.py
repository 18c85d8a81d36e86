"""One request, start to finish, without transport types."""
