"""The limits that hold unless somebody sets others, in one place for settings and front ends."""

MAX_MESSAGE_BYTES = 64 * 2**20
MAX_CONCURRENT_REQUESTS = 1024
REQUEST_TIMEOUT_SECONDS = 30.0
