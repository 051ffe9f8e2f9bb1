/* Three processes read a counter, think, and write one more. Written by hand, with a process for each agent. */
byte n = 0;

active [3] proctype agent() {
  byte to = 0;
  byte left = 2;
end:
  do
  :: d_step { (left > 0 && n < 5) -> to = n + 1 };
     d_step { n = to; to = 0; left-- }
  od
}
