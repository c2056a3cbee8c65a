/* What differs from dropbear's default_options.h. */

/* Too old to be offered. */
#define DROPBEAR_DH_GROUP14_SHA1 0
#define DROPBEAR_RSA_SHA1 0
#define DROPBEAR_SHA1_HMAC 0

/* No X11 and no agent in a guest that has neither screen nor ssh. */
#define DROPBEAR_X11FWD 0
#define DROPBEAR_SVR_AGENTFWD 0
