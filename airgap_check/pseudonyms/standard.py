"""What stands on hosts everywhere and tells nothing of a site: folders, programs, accounts, schemes, endings, roles."""

from __future__ import annotations

_TOP_LEVEL = "com net org io ai dev cloud sh app arpa"
TOP_LEVEL = frozenset(_TOP_LEVEL.split())

# Suffixes of names that belong to no site, and single names that mean this host.
_SUFFIXES = """
    com net org io dev arpa in-addr ip6 localhost local internal test invalid example onion alt home lan intranet
    localdomain cluster svc
"""
_LOCAL_NAMES = "localhost localhost.localdomain ip6-localhost ip6-loopback localhost4 localhost6 host.docker.internal"
SUFFIXES = frozenset(_SUFFIXES.split())
LOCAL_NAMES = frozenset(_LOCAL_NAMES.split())

_ENDINGS = """
    yaml yml json jsonl toml conf cfg ini env txt log sock socket pid lock sh js mjs cjs ts mts py service timer target
    slice scope mount path sqlite db sql zip tar gz tgz zst xz pcap pcapng pem crt key csv html xml md sarif so sig d
"""
ENDINGS = frozenset(_ENDINGS.split())

_FOLDERS = """
    bin sbin lib lib32 lib64 libexec local etc var log run opt srv home root tmp dev proc sys usr mnt media boot share
    node_modules dist app data config conf cache state containers storage overlay overlay2 volumes pods spool mail www
    systemd system user fs cgroup net docker containerd podman kubernetes kubelet kubepods burstable besteffort
    system.slice user.slice machine.slice kubepods.slice init.scope session app.slice resolv.conf hosts nsswitch.conf
    passwd environ self deleted stub-resolve.conf stub-resolv.conf default init current releases secrets serviceaccount
"""
_PROGRAMS = """
    node nodejs bun deno npm npx pnpm yarn tsx python python3 python3.11 perl ruby java sh bash dash zsh systemd init
    tini dumb-init su sudo sshd ssh nginx haproxy envoy caddy httpd apache2 postgres postgresql psql pgbouncer mysqld
    mysql mariadb mariadbd mongod mongodb redis redis-server valkey-server sqlite sqlite3 dockerd docker docker-compose
    containerd containerd-shim containerd-shim-runc-v2 runc crun podman conmon kubelet kube-proxy kubectl etcd coredns
    dnsmasq unbound named chronyd ntpd ntpdate systemd-resolved systemd-timesyncd systemd-journald systemd-networkd
    systemd-udevd systemd-logind NetworkManager dhclient dhcpcd rsyslogd syslog-ng journald cron crond curl wget git
    apt apt-get dpkg rpm dnf yum snapd packagekitd unattended-upgrades avahi-daemon cupsd postfix exim4 sendmail master
    dovecot minio ollama prometheus node_exporter telnet nc ncat socat tcpdump rsync openssl airgap-check pytest
    launcher supervisord pm2 journalctl systemctl login agetty getty multi-user.target
"""
_ACCOUNTS = "nobody daemon www-data messagebus systemd-resolve systemd-network systemd-timesync _apt nogroup"
_PRODUCT = """
    objectos ObjectOS objectstack ObjectStack objectstack.json @objectstack cli os start serve dev runtime artifact
    bundle policy policy.yaml evidence.jsonl report.json audit watch preflight replay inspect rehearse explain rules
    schedule history diff keygen verify reveal airgap rollback compose compose.yaml docker-compose.yml latest library
    redacted spare
"""
_SCHEMES = """
    http https postgres postgresql mysql redis rediss amqp amqps smtp smtps ldap ldaps mongodb mongodb+srv file ftp
    sftp tcp udp unix nats kafka ws wss libsql sqlite mssql jdbc icmp raw tls dns ntp syslog imap imaps otlp grpc s3 gs
    docker oci data memory git
"""
_ROLES = """
    database smtp object-storage webhook idp monitoring proxy cluster directory dhcp pki registry backup file-storage
    management other load-balancer
"""
_WORDS = """
    true false yes no on off none null unset blank empty default production development Linux linux amd64 arm64 x86_64
    aarch64 generic alpine slim bookworm bullseye jammy noble debian ubuntu v latest stable sha256 T Z UTC
    A AAAA SRV CNAME MX NS SOA PTR TXT CAA HTTPS SVCB ANY NAPTR DS DNSKEY lo eth0 eth1 ens3 docker0 br0 bond0
    wlan0 tun0 tap0 wg0 cni0 _tcp _udp _tls _http _https _ldap _ldaps
    _kerberos _kpasswd _gc _msdcs _sip _sips _xmpp-client
    _xmpp-server _imap _imaps _submission _dns-sd _mongodb _postgresql _mysql _ntp _smtp _dmarc _domainkey
    _acme-challenge _ipp _ssh _sftp-ssh _workstation
"""

WORDS = frozenset(
    word
    for words in (_FOLDERS, _PROGRAMS, _ACCOUNTS, _PRODUCT, _SCHEMES, _ROLES, _WORDS)
    for word in words.split()
)  # fmt: skip
