"use strict";
// Starts Swagger UI on the document that the page names. Nothing is sent anywhere but to this origin.
(() => {
  const place = document.getElementById("docs");
  SwaggerUIBundle({
    domNode: place,
    url: place.dataset.document,
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    persistAuthorization: false,
  });
})();
