// A TLS key and certificate for the boot test, valid until 2126.
// They protect nothing: the one guest that has them lives for a minute, and only this machine connects to it.
import { SERVER_NAME } from './test-message.ts'

/** The host name in the certificate. */
export const TLS_NAME = SERVER_NAME

export const TLS_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHpgE010S51Udh8iL
bUdzfZ67O3sVeDRIVbq4R3FyukqhRANCAASxnZMT8HtjGCkRu1fCBi7cXou7zjj/
G7ktL5cKk5Z5C8YaEh+1QWYCaC9j1NmoxB8XIgtViKaHvgVnh7Cx9Xat
-----END PRIVATE KEY-----
`

export const TLS_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBuTCCAV+gAwIBAgIUJ/D4GHzHEQVkrjjNkQCpOXh1UtswCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVbXgxLmZvcndhcmRlci5leGFtcGxlMCAXDTI2MTEyNDEyNDQz
MVoYDzIxMjYxMDMxMTI0NDMxWjAgMR4wHAYDVQQDDBVteDEuZm9yd2FyZGVyLmV4
YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASxnZMT8HtjGCkRu1fCBi7c
Xou7zjj/G7ktL5cKk5Z5C8YaEh+1QWYCaC9j1NmoxB8XIgtViKaHvgVnh7Cx9Xat
o3UwczAdBgNVHQ4EFgQUGzu11VUHYTtPEskO/nTeUd9D98YwHwYDVR0jBBgwFoAU
Gzu11VUHYTtPEskO/nTeUd9D98YwDwYDVR0TAQH/BAUwAwEB/zAgBgNVHREEGTAX
ghVteDEuZm9yd2FyZGVyLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAwRQIhAORzNeUX
rqj494MFrTeUXQyTt8aVTKFWmV5kyQQWQf8XAiBQIafRMPJsQP0VUdLzCBx4dHuE
c+9Q1VAY3aP4qvgqCQ==
-----END CERTIFICATE-----
`
