/* Three philosophers. A fork that was free at the look may be taken at the grasp: then they look again. By hand. */
bit taken[3];

#define left_fork _pid
#define right_fork ((_pid + 1) % 3)

active [3] proctype philosopher() {
  byte holds = 0;
  byte left = 6;
end:
  do
  :: d_step { (left > 0 && holds == 0 && !taken[left_fork]) -> skip };
     d_step { if :: !taken[left_fork] -> taken[left_fork] = 1; holds = 1; left-- :: else -> skip fi }
  :: d_step { (left > 0 && holds == 1 && !taken[right_fork]) -> skip };
     d_step { if :: !taken[right_fork] -> taken[right_fork] = 1; holds = 2; left-- :: else -> skip fi }
  :: d_step { (left > 0 && holds == 2) -> skip };
     d_step { taken[left_fork] = 0; taken[right_fork] = 0; holds = 0; left-- }
  od
}
