/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GROUPSEAL_TESTS_FUZZ_SECENV_CREDENTIALS_H
#define GROUPSEAL_TESTS_FUZZ_SECENV_CREDENTIALS_H

/* Fixed credentials for fuzzing, valid until 2120 and trusted by nothing else. */

static const char fuzz_ca[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBTDCB86ADAgECAgEQMAoGCCqGSM49BAMCMA0xCzAJBgNVBAMMAmNhMCAXDTIw\n"
                              "MDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjANMQswCQYDVQQDDAJjYTBZMBMG\n"
                              "ByqGSM49AgEGCCqGSM49AwEHA0IABLFQPk/sVWzOo6jZZzZuKchZVfsktqVjzDZg\n"
                              "aEJZqmYKUkbB0YxsBXEyBa9X+9kUGPZeFDDbC9PDZjAo/jYc6MyjQjBAMA8GA1Ud\n"
                              "EwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBRNALSxjGDZj6oF\n"
                              "pk8ansDfXiijiTAKBggqhkjOPQQDAgNIADBFAiEAhodhQz1NuXWxseHiiQUB31Rr\n"
                              "JLPuadn5U0T6nxslP7ACIB1I9BzUfAAWsejw3H0UEA/YS0d/qmo5QovOyZmHUP8g\n"
                              "-----END CERTIFICATE-----\n";

static const char fuzz_in_cse[] = "-----BEGIN CERTIFICATE-----\n"
                                  "MIIBkzCCATigAwIBAgIBETAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAgFw0y\n"
                                  "MDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowDTELMAkGA1UEAwwCaW4wWTAT\n"
                                  "BgcqhkjOPQIBBggqhkjOPQMBBwNCAATb6FPcwrzu2SDy8RzhJ87OeLIWT69Tz4/P\n"
                                  "7vA/gsQ4sfYkTftjxCauiL1vjGE5XXBT447Wp0yX/lQb7nzIO6AOo4GGMIGDMA4G\n"
                                  "A1UdDwEB/wQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDATAcBgNVHREEFTATghFp\n"
                                  "bi1jc2Uuc3AuZXhhbXBsZTAdBgNVHQ4EFgQU7fM3q7h1/nBs6EbGFPCIXkPPjA4w\n"
                                  "HwYDVR0jBBgwFoAUTQC0sYxg2Y+qBaZPGp7A314oo4kwCgYIKoZIzj0EAwIDSQAw\n"
                                  "RgIhALNK8h2G7n4O18xSA+D97u1oPu42eRgtfTgkgF33xIcfAiEAqLIgQdGx6I6t\n"
                                  "8suGZ84E66Ce+35nrzHDGAZf7kK7VgI=\n"
                                  "-----END CERTIFICATE-----\n";

static const char fuzz_in_cse_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                      "MHcCAQEEIJflK/7K8C6gZHkGTOSz1sHBx3XFMTCUzwIc7llKHh5SoAoGCCqGSM49\n"
                                      "AwEHoUQDQgAE2+hT3MK87tkg8vEc4SfOzniyFk+vU8+Pz+7wP4LEOLH2JE37Y8Qm\n"
                                      "roi9b4xhOV1wU+OO1qdMl/5UG+58yDugDg==\n"
                                      "-----END EC PRIVATE KEY-----\n";

static const char fuzz_door[] = "-----BEGIN CERTIFICATE-----\n"
                                "MIIBmTCCAUCgAwIBAgIBEjAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAgFw0y\n"
                                "MDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowDzENMAsGA1UEAwwEZG9vcjBZ\n"
                                "MBMGByqGSM49AgEGCCqGSM49AwEHA0IABOcNE3SLHPvMAM15CAUtOZRvK4Jdl8ak\n"
                                "F6TQVR4C+7w8Xrsl02b32jKGG6NmdNmY2hjYO3+PfpZW1Zcv/FHOO/GjgYwwgYkw\n"
                                "DgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMCMCIGA1UdEQQbMBmG\n"
                                "F20ybTovL3NwLmV4YW1wbGUvU2Rvb3IxMB0GA1UdDgQWBBRoQ1nEiQ+GYGro2mac\n"
                                "wuZHPdR16zAfBgNVHSMEGDAWgBRNALSxjGDZj6oFpk8ansDfXiijiTAKBggqhkjO\n"
                                "PQQDAgNHADBEAiAIelttecgb2Hzth+oqNcFg7HQj6+0eiq1OeTp03lsWIAIgQyOB\n"
                                "BhHkCOvb7nr5Wos5l6kmpn+M/zkwnfwyeQLddUM=\n"
                                "-----END CERTIFICATE-----\n";

static const char fuzz_door_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                    "MHcCAQEEIEETEyej92fSSuvwRo6qFrBtWdEK3lSXxkhnWkov76S+oAoGCCqGSM49\n"
                                    "AwEHoUQDQgAE5w0TdIsc+8wAzXkIBS05lG8rgl2XxqQXpNBVHgL7vDxeuyXTZvfa\n"
                                    "MoYbo2Z02ZjaGNg7f49+llbVly/8Uc478Q==\n"
                                    "-----END EC PRIVATE KEY-----\n";

__attribute__((unused)) static const char fuzz_crl[] =
    "-----BEGIN X509 CRL-----\n"
    "MIGlME4CAQEwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTIwMDEwMTAwMDAw\n"
    "MFoYDzIxMjAwMTAxMDAwMDAwWqAOMAwwCgYDVR0UBAMCAQEwCgYIKoZIzj0EAwID\n"
    "RwAwRAIgcidgZ73ozBKSNrc9s3i2+IRGPcXKKX2Bmf7MdWAF23MCIFmAVjfxGnvr\n"
    "NyZtySo9vhIooDvvbsfA3siqcHYBdOls\n"
    "-----END X509 CRL-----\n";

#endif
