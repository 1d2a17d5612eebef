#include "task_fsm.h"
#include <stdint.h>

//                       try again
//                        .----.
//             run        v    |   succeed                    retry
//   pending ----------> running -----------------> done --------------.
//      ^  \               |  |  \  ask                                 |
//      |   \ cancel       |  |   '-----> review --approve--> done      |
//      |    \             |  | fail         |  \--reject---> failed    |
//      |     '---> cancelled<-' cancel      | cancel                   |
//      |              |   '--> failed       '-----> cancelled          |
//      '--------------'----------'-------------------------------------'  retry (from done, failed, cancelled)
static const struct {
    uint8_t to, fx;
} step[TASK_STATUS_COUNT][EV_N] = {
    [TASK_PENDING] = { [EV_RUN]    = { TASK_RUNNING,   FX_ENQUEUE },
                       [EV_CANCEL] = { TASK_CANCELLED, FX_END } },
    [TASK_RUNNING] = { [EV_SUCCEED]   = { TASK_DONE,      FX_END },
                       [EV_ASK]       = { TASK_REVIEW,    FX_OPEN_APPROVAL },
                       [EV_FAIL]      = { TASK_FAILED,    FX_END },
                       [EV_TRY_AGAIN] = { TASK_RUNNING,   FX_ENQUEUE },
                       [EV_CANCEL]    = { TASK_CANCELLED, FX_KILL | FX_END } },
    [TASK_REVIEW] = { [EV_APPROVE] = { TASK_DONE,      FX_END },
                      [EV_REJECT]  = { TASK_FAILED,    FX_END },
                      [EV_CANCEL]  = { TASK_CANCELLED, FX_CLOSE_APPROVAL | FX_END } },
    [TASK_DONE]      = { [EV_RETRY] = { TASK_PENDING, FX_RESET } },
    [TASK_FAILED]    = { [EV_RETRY] = { TASK_PENDING, FX_RESET } },
    [TASK_CANCELLED] = { [EV_RETRY] = { TASK_PENDING, FX_RESET } },
};

enum err task_fsm_step(enum task_status from, enum task_event ev, enum task_status *ret_to, unsigned *ret_fx)
{
    if ((unsigned)from >= TASK_STATUS_COUNT || (unsigned)ev >= EV_N || step[from][ev].to == TASK_STATUS_NONE)
        return ERR_BAD_STATE;
    *ret_to = (enum task_status)step[from][ev].to;
    *ret_fx = step[from][ev].fx;
    return ERR_OK;
}
