"""Bytes and system calls of the Linux kernel; knows no rules and no product."""
