"""`fit` in a compiled environment: acting, stepping and learning are one program."""
