#!/bin/sh
# Makes the namespace and the search attributes (docs/contract.md, section 4) where they are missing. The server is that
# of TEMPORAL_ADDRESS, the namespace TEMPORAL_NAMESPACE; what has closed is kept for RETENTION.
set -eu
: "${TEMPORAL_ADDRESS:?}" "${TEMPORAL_NAMESPACE:?}" "${RETENTION:?}"

namespace_is_there() {
  temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
}

attributes_are_there() {
  temporal operator search-attribute create \
    --name CaseKind --type Keyword \
    --name CaseStatus --type Keyword \
    --name CasePriority --type Int \
    --name Profession --type Keyword \
    --name ResponsibleUnit --type Keyword \
    --name OfferedTo --type KeywordList \
    --name EscalationLevel --type Int \
    --name DueAt --type Datetime \
    --name Overdue --type Bool
}

# Its port is open before everything behind it answers, and a new namespace is not known everywhere at once.
tries=0
until said=$(namespace_is_there 2>&1 && attributes_are_there 2>&1); do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    echo "$said" >&2
    exit 1
  fi
  sleep 1
done
echo "the namespace $TEMPORAL_NAMESPACE has its search attributes"
