/* A planner and two enactors that check once and apply later. Written by hand. */
byte latest = 0;
byte applied = 0;

active proctype planner() {
  byte left = 3;
end:
  do
  :: d_step { (left > 0) -> skip };
     d_step { latest++; left-- }
  od
}

active [2] proctype enactor() {
  byte plan = 0;
  byte left = 3;
end:
  do
  :: d_step { (left > 0 && latest > applied) -> plan = latest };
     d_step { applied = plan; plan = 0; left-- }
  od
}
