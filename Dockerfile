# One image: a node, and the commands of agencies, operators and auditors.
#
# The base is Debian 13 because its OpenSSL (3.5) negotiates hybrid post-quantum groups. In production name it by digest:
#   docker build --build-arg BASE=python:3.13-slim-trixie@sha256:… .
# Without a package index: scripts/wheelhouse first, then --build-arg PIP_NO_INDEX=1.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ARG PIP_NO_INDEX=
# requirements-hsm.lock for a node whose signing keys are in a PKCS#11 token (docs/token.md).
ARG LOCK=requirements.lock
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/entente
# The pattern stands for var/wheelhouse, which need not be there.
COPY ${LOCK} var/wheelhous[e] wheels/
# Wheels only, each with a hash from the lock: nothing is built, so nothing runs that the hashes do not cover.
RUN /opt/entente/bin/pip install --quiet --require-hashes --only-binary :all: --find-links wheels -r wheels/${LOCK}
COPY pyproject.toml README.md LICENSE ./
COPY gateway/ gateway/
COPY schemas/ schemas/
RUN /opt/entente/bin/pip install --quiet --no-index --no-deps --no-build-isolation .

FROM ${BASE}
# The user of the container owns the keys that it is given, so whoever builds may choose it.
ARG ENTENTE_UID=10001
ARG ENTENTE_GID=10001
COPY --from=build /opt/entente /opt/entente
COPY containers/openssl.cnf /etc/entente/openssl.cnf
# A new volume takes owner and mode from the folder on which it is mounted.
RUN mkdir -p /srv/entente/keys/kem /srv/entente/trust /srv/entente/data /srv/entente/high-water \
 && chmod 0700 /srv/entente/keys /srv/entente/keys/kem /srv/entente/data /srv/entente/high-water \
 && chown -R ${ENTENTE_UID}:${ENTENTE_GID} /srv/entente
ENV PATH=/opt/entente/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OPENSSL_CONF=/etc/entente/openssl.cnf
USER ${ENTENTE_UID}:${ENTENTE_GID}
WORKDIR /srv/entente
STOPSIGNAL SIGTERM
ENTRYPOINT ["entente"]
CMD ["serve", "--home", "/srv/entente"]
