"""The views that readers may rely on (contract §5).

What depends on the time of day is computed when it is read, so that it is right without anybody writing anything.
A column beyond the contract's stands last.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORKLIST = """
create view omhand.worklist as
with standing as (
    select responsible_unit as unit_id, 'responsible' as stands, case_id
    from omhand.cases
    where closed_at is null
    union all
    select unit_id, stands, case_id
    from (
        -- A unit has one row a case, however many offers: what asks most of it wins.
        select distinct on (offers.unit_id, offers.case_id) offers.unit_id, offers.case_id,
            case offers.why
                when 'handover' then 'handover'
                when 'consultation' then 'consulted'
                else 'offered'
            end as stands
        from omhand.offers
        order by offers.unit_id, offers.case_id,
            case offers.why when 'handover' then 1 when 'consultation' then 2 else 3 end
    ) as asked
    where not exists (
        select from omhand.cases
        where cases.case_id = asked.case_id and cases.responsible_unit = asked.unit_id
    )
)
select
    standing.unit_id,
    standing.stands,
    cases.case_id,
    cases.kind,
    cases.status,
    cases.priority,
    cases.profession,
    cases.responsible_unit,
    cases.assigned_to,
    cases.escalation_level,
    cases.due_at,
    coalesce(cases.due_at <= now(), false) as overdue,
    cases.opened_at,
    array(
        select other.case_id
        from omhand.cases as other
        where other.patient = cases.patient and other.case_id <> cases.case_id and other.closed_at is null
        order by other.case_id
    ) as linked_cases
from standing
join omhand.cases using (case_id)
where cases.closed_at is null;
"""

LOGS = """
create view omhand.case_log as
select case_id, seq, at, event, by ->> 'staff' as by_staff, by ->> 'unit' as by_unit, detail,
    coalesce(by ? 'patient', false) as by_patient
from omhand.events;

create view omhand.notification_log as
select key, case_id, reason, unit_id, channel, recipient, status, attempts, created_at, sent_at, error
from omhand.notifications;

create view omhand.access_log as
select at, case_id, patient, staff, unit_id, action, by_patient
from omhand.access;
"""

HANDLING_TIMES = """
create view omhand.handling_times as
select
    case_id,
    kind,
    priority,
    profession,
    received_by as unit_id,
    opened_at,
    accept_by as due_at,
    accepted_at,
    accepted_by_unit,
    closed_at,
    outcome,
    case
        when was_late or (status = 'waiting' and accept_by <= now()) then false
        when accepted_at is null and closed_at is null then null
        else true
    end as in_time,
    highest_level as escalation_level
from omhand.cases;
"""


def upgrade() -> None:
    for statements in (WORKLIST, LOGS, HANDLING_TIMES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
