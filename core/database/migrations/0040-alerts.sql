-- A condition that is looked at each minute, told once when it begins and once when it is over.
create table watershed.alert (
  id text primary key,
  name text not null,
  owner text not null,
  condition jsonb not null,
  -- So long a change must last before it is told.
  for_minutes int not null check (for_minutes >= 0),
  deliveries jsonb not null,
  -- Signs the bodies of webhooks.
  secret text not null,
  status text not null check (status in ('active', 'paused')),
  version int not null check (version > 0),
  -- What was told: since when it holds, null while it does not.
  firing_since timestamptz,
  -- Since when it is otherwise than told, null while it is not.
  changing_since timestamptz,
  checked_at timestamptz,
  detail text,
  error text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null,
  deleted_at timestamptz
);

alter table watershed.report
  -- Saved queries and how each is shown, for the layout that is made of them.
  add column content jsonb not null default '[]',
  -- Nothing is sent where it does not hold.
  add column condition jsonb,
  add column keep_days int not null default 90 check (keep_days > 0);

-- A run belongs to a report or to an alert; `begun` and `over` are what an alert tells.
alter table watershed.report_run
  alter column report_id drop not null,
  add column alert_id text references watershed.alert,
  -- Why nothing was sent, where that is no failure.
  add column note text,
  add constraint report_run_of check (num_nonnulls(report_id, alert_id) = 1),
  drop constraint report_run_kind_check,
  add constraint report_run_kind_check check (kind in ('scheduled', 'test', 'begun', 'over')),
  drop constraint report_run_state_check,
  add constraint report_run_state_check check (state in ('planned', 'delivering', 'done', 'failed', 'skipped', 'unmet'));
create unique index report_run_told on watershed.report_run (alert_id, slot, kind) where kind in ('begun', 'over');
create index report_run_history on watershed.report_run (report_id, slot desc);
create index report_run_alerts on watershed.report_run (alert_id, id desc) where alert_id is not null;

alter table watershed.report_delivery
  drop constraint report_delivery_kind_check,
  add constraint report_delivery_kind_check check (kind in ('file', 'mail', 'webhook', 'store')),
  -- Where in the object store it lies; null after it was deleted there.
  add column location text;
